"""Attention to keys and values that heads share needs no copy of them for each head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its customary name

from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.shared_heads import ATTENTION, share_heads
from pytest_edgeload.networks.layer import Op
from pytest_edgeload.networks.tile import WHOLE
from tests.builders import stored
from tests.engine.test_tiles import execute

HEADS, SHARED, SIZE = 6, 2, 4
Repeat = Callable[[torch.Tensor], torch.Tensor]


def repeat_heads(x: torch.Tensor) -> torch.Tensor:
    """Repeat each head, as transformers does."""
    batch, heads, tokens, size = x.shape
    x = x[:, :, None].expand(batch, heads, HEADS // heads, tokens, size)
    return x.reshape(batch, HEADS, tokens, size)


def repeat_all(x: torch.Tensor) -> torch.Tensor:
    """Repeat all heads one after the other, which is another order."""
    batch, heads, tokens, size = x.shape
    return x[:, None].expand(batch, HEADS // heads, heads, tokens, size).reshape(batch, HEADS, tokens, size)


class Attention(nn.Module):
    """A linear layer and attention to its outputs; `shows` lets it return the repeated keys as well."""

    def __init__(self, repeat: Repeat, *, shows: bool = False) -> None:
        super().__init__()
        self.all = nn.Linear(8, (HEADS + 2 * SHARED) * SIZE)
        self._repeat, self._shows = repeat, shows

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the values that each token attends to."""
        heads = self.all(x).view(len(x), -1, HEADS + 2 * SHARED, SIZE).transpose(1, 2)
        query, key, value = heads.split([HEADS, SHARED, SHARED], 1)
        key, value = self._repeat(key), self._repeat(value)
        attended = F.scaled_dot_product_attention(query, key, value, scale=0.3)
        return (attended, key) if self._shows else (attended,)


MODULES: Mapping[str, tuple[nn.Module, bool]] = {
    "repeated heads": (Attention(repeat_heads), True),
    "heads in another order": (Attention(repeat_all), False),
    "keys that are used again": (Attention(repeat_heads, shows=True), False),
}


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("name", MODULES)
def test_repeated_heads_are_shared(tmp_path: Path, name: str, tokens: int) -> None:
    """Repeated heads become shared ones if nothing else uses them, and outputs are plain PyTorch's in any case."""
    module, is_shared = MODULES[name]
    opened = OpenNetwork(stored(tmp_path, module, (torch.linspace(-1, 1, 16 * tokens).view(2, tokens, 8),)), "read")
    (layer,) = opened.network.layers
    ops = share_heads(layer.ops)
    (attention,) = [op for op in ops if op.target == ATTENTION]
    assert attention.kwargs.get("enable_gqa", False) == is_shared
    assert (len(ops) < len(layer.ops)) == is_shared
    dropped = [value for op in ops for value in op.drops]
    assert len(dropped) == len({*dropped})
    assert {*dropped, *opened.network.outputs} == {*opened.network.inputs, *(op.output for op in ops)}
    assert opened.compare(execute(opened, {0: (WHOLE,)}), 0).error == pytest.approx(0, abs=1e-5)


def test_keys_that_change_after_their_copy_are_copied(tmp_path: Path) -> None:
    """Heads stay repeated if an op between the copy and the attention writes to memory."""
    opened = OpenNetwork(stored(tmp_path, Attention(repeat_heads), (torch.ones(1, 1, 8),)), "read")
    (layer,) = opened.network.layers
    (index,) = [i for i, op in enumerate(layer.ops) if op.target == ATTENTION]
    write = Op("aten.relu_.default", [{"value": layer.ops[0].output}], {}, "written")
    ops = (*layer.ops[:index], write, *layer.ops[index:])
    assert share_heads(ops) == ops
