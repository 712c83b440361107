"""Reading compressed weights: any range of bytes, through either reader, and damage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pytest_edgeload.engine.memory import arena
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.readers import Reader
from pytest_edgeload.engine.weight_files import open_weights
from pytest_edgeload.networks.compressed import blocks_file, compress_network
from pytest_edgeload.networks.folder import WEIGHTS, read_graph
from pytest_edgeload.networks.tensor_file import DamagedNetwork
from pytest_edgeload.networks.tile import PAGE, cut, pages_bytes
from tests.builders import stored

EITHER_READER = pytest.mark.parametrize("name", ["read", "direct"])


class _Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(700, 1100)
        self.second = nn.Linear(1100, 301, dtype=torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.first(x).bfloat16())
        return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a stored network with weights of two types and its compressed copy, which is read in several pieces."""
    folder = stored(tmp_path_factory.mktemp("compressed"), _Mixed(), (torch.rand(1, 700),))
    compress_network(folder, read_graph(folder), lambda *_: None)
    return folder


def _opened(folder: Path, name: str) -> Reader:
    return open_weights(name, folder, read_graph(folder), "compressed")


@EITHER_READER
@given(data=st.data())
def test_reads_return_the_plain_bytes(folder: Path, name: str, data: st.DataObject) -> None:
    """A read returns the bytes of the plain file for any offset and size, and changes no byte around its place."""
    plain = (folder / WEIGHTS).read_bytes()
    offset = data.draw(st.integers(0, len(plain) - 1))
    size = data.draw(st.integers(1, len(plain) - offset))
    pages = pages_bytes(offset, size)
    around = arena(pages + 2 * PAGE)
    reader = _opened(folder, name)
    expected = plain[offset : offset + size]
    assert reader.read(offset, size) == expected
    assert reader.read(offset, size, around[PAGE : PAGE + pages]) == expected
    assert bytes(around[:PAGE]) == bytes(around[PAGE + pages :]) == bytes(PAGE)
    reader.close()


@EITHER_READER
def test_tiles_are_those_of_plain_weights(folder: Path, name: str) -> None:
    """Every tile of every layer has the same tensors as with plain weights."""
    plain, compressed = OpenNetwork(folder, name), OpenNetwork(folder, name, "compressed")
    for i, layer in enumerate(plain.network.layers):
        for tile in cut(plain.network, i, 100_000):
            expected = plain.load(layer, tile)
            found = compressed.load(layer, tile)
            assert all(torch.equal(found[weight], expected[weight]) for weight in expected)


def test_damaged_block_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    """A block that cannot be restored is named, with the way out; the end of the weights as well."""
    blocks = blocks_file(folder, 0)
    content, size_bytes = blocks.read_bytes(), (folder / WEIGHTS).stat().st_size
    reader = _opened(folder, "read")
    try:
        blocks.write_bytes(bytes(len(content)))
        with pytest.raises(DamagedNetwork) as caught:
            reader.read(200_000, 10)
    finally:
        blocks.write_bytes(content)
    remedy = f"delete the folder {blocks.parent}, and it is made again"
    assert str(caught.value) == f"{blocks} is damaged: block 3 cannot be restored; {remedy}"
    with pytest.raises(EOFError, match=f"the weights end at byte {size_bytes}"):
        reader.read(0, size_bytes + 1)
    reader.close()
