"""Layers that are executed tile by tile have the outputs of whole layers; all weights are really read from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_edgeload.engine.memory import arena
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.engine.tiles import CompiledLayer, LayerProgress
from pytest_edgeload.networks.layer import Layer
from pytest_edgeload.networks.tile import REQUESTED, WHOLE, Tile, cut, find_tiling, span_bytes, specs
from tests.builders import stored

EVERY_READER = pytest.mark.parametrize("reader", READERS)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.06, torch.float16: 0.01}
"""Differences by type that another order of summation explains, for a few hundred products of numbers near one."""

Module = tuple[nn.Module, torch.Tensor]


def execute(opened: OpenNetwork, tiles: Mapping[int, Iterable[Tile]]) -> list[torch.Tensor]:
    """Return the outputs for the first sample, executed in these tiles, each loaded into separate memory.

    The memory of a tile is overwritten after its execution, so that a later use of it would show in the outputs.
    """
    network = opened.network
    values: dict[str, Any] = dict(zip(network.inputs, opened.tensors(opened.sample(0).inputs), strict=True))
    progress = LayerProgress()
    for i, layer in enumerate(network.layers):
        for tile in tiles[i]:
            into = arena(span_bytes(layer, tile))
            weights = opened.load_requested(layer, values) if tile is REQUESTED else opened.load(layer, tile, into)
            with torch.inference_mode():
                CompiledLayer(layer).run(tile, values, weights, progress)
            del weights
            opened.drop(specs(layer, tile))
            into[:] = b"\xff" * len(into)  # NaN in every type
        assert (progress.output, progress.others) == (None, {})
    assert {*values} == {*network.outputs}
    return [values[name] for name in network.outputs]


def check(folder: Path, reader: str, tiles: Mapping[int, Iterable[Tile]] | int) -> None:
    """Check the outputs of the network in `folder`, executed in these tiles, or in tiles of at most this many bytes."""
    opened = OpenNetwork(folder, reader)
    if isinstance(tiles, int):
        tiles = {i: cut(opened.network, i, tiles) for i in range(len(opened.network.layers))}
    correct = opened.tensors(opened.sample(0).outputs)
    for actual, expected in zip(execute(opened, tiles), correct, strict=True):
        tolerance = TOLERANCES[expected.dtype]
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the networks of all examples."""
    return tmp_path_factory.mktemp("tiles")


@st.composite
def partitions(draw: st.DrawFn, layer: Layer) -> tuple[Tile, ...]:
    """Draw any valid tiles of a layer, of equal size or not."""
    found = find_tiling(layer)
    if found is None:
        return (WHOLE,)
    tiles: list[Tile] = []
    first = 0
    while first < found.rows:
        ends = [last for last in range(first + 1, found.rows + 1) if found.allows((first, last))]
        # A tile that begins inside a group must end with the group.
        last = draw(st.sampled_from(ends))
        tiles.append((first, last))
        first = last
    return tuple(tiles)


DTYPES = st.sampled_from(sorted(TOLERANCES, key=str))
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


@st.composite
def convolutions(draw: st.DrawFn) -> Module:
    """Draw a convolution of any dimension with optional ops before and after it, and an image or a batch of images."""
    dimensions, groups = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 6))
    several = st.tuples(*[st.integers(1, 2)] * dimensions)
    kernel = draw(st.tuples(*[st.integers(1, 3)] * dimensions))
    stride, dilation = draw(several), draw(several)
    padding = draw(st.tuples(*[st.integers(0, 2)] * dimensions))
    convolution = CONVOLUTIONS[dimensions - 1](
        inputs, outputs, kernel, stride, padding, dilation, groups, bias=draw(st.booleans())
    )
    parts: list[nn.Module] = [*draw(st.sampled_from([[], [nn.Tanh()]])), convolution]
    batch = draw(st.lists(st.integers(1, 2), max_size=1))
    if draw(st.booleans()) and batch:
        norm = NORMS[dimensions - 1](outputs)
        for tensor in norm.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
        parts.append(norm)
    parts += draw(st.sampled_from([[], [nn.ReLU()], [nn.GELU(), POOLS[dimensions - 1](1)]]))
    min_sides = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    sides = [side + draw(st.integers(0, 3)) for side in min_sides]
    dtype = draw(DTYPES)
    return nn.Sequential(*parts).to(dtype), torch.randn(*batch, inputs, *sides).to(dtype)


@st.composite
def linears(draw: st.DrawFn) -> Module:
    """Draw a linear layer with optional ops before and after it, and an input of one to four dimensions."""
    inputs, outputs = draw(st.integers(1, 20)), draw(st.integers(1, 30))
    parts: list[nn.Module] = [*draw(st.sampled_from([[], [nn.Tanh()]]))]
    parts.append(nn.Linear(inputs, outputs, bias=draw(st.booleans())))
    parts += draw(st.sampled_from([[], [nn.ReLU()], [nn.LayerNorm(outputs), nn.GELU()]]))
    dtype, before = draw(DTYPES), draw(st.lists(st.integers(1, 4), max_size=3))
    return nn.Sequential(*parts).to(dtype), torch.randn(*before, inputs).to(dtype)


@settings(max_examples=40)
@given(convolutions() | linears(), st.sampled_from(sorted(READERS)), st.data())
def test_any_tiles_have_the_outputs_of_the_layer(
    folders: Path, drawn: Module, reader: str, data: st.DataObject
) -> None:
    """For any tiles of a layer, the outputs equal plain PyTorch's."""
    module, x = drawn
    folder = stored(folders / str(len(list(folders.iterdir()))), module, (x,))
    opened = OpenNetwork(folder, reader)
    for tiles in (
        {i: data.draw(partitions(layer)) for i, layer in enumerate(opened.network.layers)},
        {i: cut(opened.network, i, 64) for i in range(len(opened.network.layers))},
    ):
        check(folder, reader, tiles)


class Everything(nn.Module):
    """A network with all kinds of layers, values that outlive several layers, and weights that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU())
        self.depthwise, self.grouped = nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Conv2d(12, 12, 1, groups=3)
        self.up = nn.ConvTranspose2d(12, 12, 3, padding=1)
        self.wide, self.tied = nn.Linear(12, 40), nn.Linear(40, 12)
        self.last = nn.Linear(12, 40, bias=False)
        self.last.weight = self.wide.weight

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute two outputs."""
        x = self.stem(x)
        x = x + self.grouped(self.depthwise(x).relu())
        y = (self.up(x) + x).mean((2, 3))
        return self.last(self.tied(self.wide(y).relu()) + y), y


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network of all kinds of layers."""
    torch.manual_seed(0)
    return stored(tmp_path_factory.mktemp("everything"), Everything().eval(), (torch.rand(2, 3, 9, 9),))


@EVERY_READER
@pytest.mark.parametrize("max_bytes", [0, 16, 100, 256, 1000, 1 << 20])
def test_a_network_in_tiles_has_correct_outputs(everything: Path, reader: str, max_bytes: int) -> None:
    """A network whose layers are cut has the outputs of plain PyTorch."""
    check(everything, reader, max_bytes)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_an_image_without_a_batch_is_cut_along_channels(tmp_path: Path, dimensions: int) -> None:
    """The tiles of a convolution of one image without a batch axis are combined along the channels."""
    module = CONVOLUTIONS[dimensions - 1](4, 6, 2, groups=2)
    check(stored(tmp_path, module, (torch.randn(4, *[5] * dimensions),)), "read", 0)


@EVERY_READER
def test_loads_with_and_without_a_place_are_equal(everything: Path, reader: str) -> None:
    """A tile has the same tensors whether it is loaded to a place or into its own memory."""
    opened = OpenNetwork(everything, reader)
    for i, layer in enumerate(opened.network.layers):
        for tile in cut(opened.network, i, 100):
            own, placed = opened.load(layer, tile), opened.load(layer, tile, arena(span_bytes(layer, tile)))
            assert own.keys() == placed.keys()
            assert all(torch.equal(own[name], placed[name]) for name in own)


class Lookup(nn.Module):
    """A network that looks up rows of a table, normalizes them, and applies a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.last = nn.Embedding(50, 6), nn.LayerNorm(6), nn.Linear(6, 9)
        nn.init.uniform_(self.norm.weight)
        nn.init.uniform_(self.norm.bias)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Compute nine numbers per row."""
        return self.last(self.norm(self.table(ids))).relu()  # type: ignore[no-any-return]


LOOKUP = Lookup().eval()
ID = st.integers(0, 49)


@pytest.fixture(scope="module")
def lookups(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, OpenNetwork]:
    """Return a network that looks up rows of a table, by reader."""
    folder = stored(tmp_path_factory.mktemp("lookup"), LOOKUP, (torch.tensor([[3, 1, 3]]),))
    return {reader: OpenNetwork(folder, reader) for reader in READERS}


@EVERY_READER
@given(
    ids=ID | st.lists(ID, max_size=70) | st.lists(st.tuples(ID, ID), min_size=1, max_size=9),
    dtype=st.sampled_from([torch.int64, torch.int32]),
)
def test_requested_rows_have_the_outputs_of_the_table(
    lookups: Mapping[str, OpenNetwork], reader: str, ids: Any, dtype: torch.dtype
) -> None:
    """Ids in any order and number, repeated or none at all, have the outputs of the whole table."""
    opened = lookups[reader]
    layer = opened.network.layers[0]
    requested = torch.tensor(ids, dtype=dtype)
    (name,) = opened.network.inputs
    values: dict[str, Any] = {name: requested}
    weights = opened.load_requested(layer, values)
    assert len(weights["table.weight"]) == len({*requested.flatten().tolist()})
    with torch.inference_mode():
        CompiledLayer(layer).run(REQUESTED, values, weights, LayerProgress())
        expected = LOOKUP.norm(LOOKUP.table(requested))
    (actual,) = values.values()
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("ids", [[50], [-1], [3, 50, 2], [0, -7], [1000]])
def test_a_missing_row_is_an_index_error(lookups: Mapping[str, OpenNetwork], ids: list[int]) -> None:
    """The IndexError for a missing row contains the layer, the requested rows and the size of the table."""
    opened = lookups["read"]
    (name,) = opened.network.inputs
    with pytest.raises(
        IndexError, match=f"^table: rows {min(ids)} to {max(ids)} are looked up, but the table has 50 rows$"
    ):
        opened.load_requested(opened.network.layers[0], {name: torch.tensor(ids)})
