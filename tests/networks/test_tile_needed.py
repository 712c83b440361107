"""What has to be read of a weights file, whatever the way to read it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pytest_edgeload.networks.layer import TensorSpec
from pytest_edgeload.networks.store import read_graph
from pytest_edgeload.networks.tile import needed
from tests.builders import stored


class _Words(nn.Module):
    """Looks words up in a table, which may also be what its answer is computed with."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.table, self.inner, self.last = nn.Embedding(100, 8), nn.Linear(8, 8), nn.Linear(8, 100, bias=False)
        if tied:
            self.last.weight = self.table.weight

    def forward(self, word: torch.Tensor) -> torch.Tensor:
        """Compute 100 values from a word."""
        return self.last(self.inner(self.table(word)))  # type: ignore[no-any-return]  # as all modules


def _weights(folder: Path) -> dict[str, TensorSpec]:
    return {weight.name: weight for layer in read_graph(folder).layers for weight in layer.weights}


def test_an_embedding_is_not_needed_whole(tmp_path: Path) -> None:
    """All weights are needed but for the table of an embedding, of which any request needs a few rows only."""
    folder = stored(tmp_path, _Words(tied=False), (torch.tensor([1]),))
    found = _weights(folder)
    table = found.pop("table.weight")
    assert sum(size_bytes for _, size_bytes in needed(read_graph(folder))) == sum(w.size_bytes for w in found.values())
    assert not any(offset < sum((table.offset, table.size_bytes)) for offset, _ in needed(read_graph(folder)))


def test_what_two_layers_share_is_needed_once(tmp_path: Path) -> None:
    """A table that another layer multiplies with is needed whole, but only once."""
    folder = stored(tmp_path, _Words(tied=True), (torch.tensor([1]),))
    network = read_graph(folder)
    distinct = {(weight.offset, weight.size_bytes) for layer in network.layers for weight in layer.weights}
    assert sum(size_bytes for _, size_bytes in needed(network)) == sum(size_bytes for _, size_bytes in distinct)
    assert network.weight_bytes == sum(size_bytes for _, size_bytes in distinct) + 100 * 8 * 4
