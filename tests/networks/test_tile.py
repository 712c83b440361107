"""The tiles of a layer: they cover it once and in order, and each can be applied on its own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its customary name

from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Layer, Network, Op, Sample, TensorSpec
from pytest_edgeload.networks.tile import (
    PAGE,
    REQUESTED,
    WHOLE,
    Tile,
    cut,
    find_tiling,
    has_requested_rows,
    is_last,
    last_required_bytes,
    live_out_bytes,
    pages_bytes,
    required_stretches,
    share,
    span_bytes,
    specs,
    stretches,
    tile_bytes,
    working_bytes,
)
from pytest_edgeload.strategies import networks
from tests.builders import network as made_up
from tests.builders import stored


@st.composite
def composed(draw: st.DrawFn) -> Network:
    """Draw a chain of convolutions and linear layers, wide enough to be cut."""
    composer = Composer(1, draw(st.integers(1, 9)), 4, 4)
    x = composer.input
    for _ in range(draw(st.integers(0, 2))):
        x = composer.relu(composer.conv2d(x, draw(st.integers(1, 40)), kernel=3, bias=draw(st.booleans())))
    x = composer.flatten(x)
    for _ in range(draw(st.integers(1, 2))):
        x = composer.linear(x, draw(st.integers(1, 40)), bias=draw(st.booleans()))
    return composer.done(x)


@st.composite
def grouped(draw: st.DrawFn) -> Network:
    """Draw a grouped or depthwise convolution, with its normalization before or after it in the file."""
    groups, per_group, numbers = draw(st.integers(1, 6)), draw(st.integers(1, 7)), draw(st.integers(1, 9))
    rows, offset = groups * per_group, PAGE + 4 * draw(st.integers(0, 2000))
    shapes = {"weight": (rows, numbers, 1), "bias": (rows,), "mean": (rows,)}
    weights = []
    for name in draw(st.permutations(sorted(shapes))):
        size_bytes = 4 * rows * (numbers if name == "weight" else 1)
        weights.append(TensorSpec(name, "float32", shapes[name], offset, size_bytes))
        offset += size_bytes
    args = [{"value": "x"}, {"weight": "weight"}, {"weight": "bias"}, [1], [0], [1], groups]
    ops = (
        Op("aten.conv1d.default", args, {}, "made"),
        Op("aten.add.Tensor", [{"value": "made"}, {"weight": "mean"}], {}, "y"),
    )
    layer = Layer("layer0", "conv1d", tuple(weights), ops, 1000, 100, 10)
    return Network("grouped", (layer,), ("x",), ("y",), (Sample((), ()),), "", "")


NETWORKS = composed() | grouped() | networks() | st.just(made_up((100, 1, 1), (0, 1, 1)))
SIZES = st.integers(0, 4000)


def _layers(network: Network, max_bytes: int) -> list[tuple[Layer, tuple[Tile, ...]]]:
    return [(layer, cut(network, i, max_bytes)) for i, layer in enumerate(network.layers)]


@given(NETWORKS, SIZES)
def test_tiles_cover_the_layer(network: Network, max_bytes: int) -> None:
    """The tiles are the whole layer, or ranges from its first row to its last without gaps."""
    for layer, tiles in _layers(network, max_bytes):
        tiling = find_tiling(layer)
        if tiles == (WHOLE,):
            assert tiling is None or tiling.rows == 1 or tiling.size_bytes <= max_bytes
            continue
        assert tiling is not None
        ranges = [rows for rows in tiles if isinstance(rows, tuple)]
        assert len(ranges) == len(tiles) > 1
        assert ranges[0][0] == 0
        assert ranges[-1][1] == tiling.rows
        assert all(before[1] == after[0] for before, after in pairwise(ranges))
        assert [is_last(layer, rows) for rows in ranges] == [False] * (len(ranges) - 1) + [True]


@given(NETWORKS, SIZES)
def test_tiles_are_as_large_as_the_maximum_allows(network: Network, max_bytes: int) -> None:
    """No tile exceeds the maximum unless it is a single row, and two neighbors together would exceed it."""
    for layer, tiles in _layers(network, max_bytes):
        tiling = find_tiling(layer)
        for rows in tiles:
            if tiling is not None and isinstance(rows, tuple):
                assert (rows[1] - rows[0]) * tiling.row_bytes <= max(max_bytes, tiling.row_bytes)
        if tiling is not None and len(tiles) > 1:
            fewest = -(-tiling.size_bytes // max(max_bytes, tiling.row_bytes))
            assert len(tiles) >= fewest
            if tiling.groups == 1:
                sizes = [rows[1] - rows[0] for rows in tiles if isinstance(rows, tuple)]
                assert max(sizes) - min(sizes) <= 1
                assert len(tiles) == -(-tiling.rows // max(1, max_bytes // tiling.row_bytes))


@given(grouped(), SIZES)
def test_tiles_respect_groups(network: Network, max_bytes: int) -> None:
    """A tile of a grouped convolution is within one group or consists of whole groups."""
    tiling = find_tiling(network.layers[0])
    assert tiling is not None
    per_group = tiling.rows // tiling.groups
    for rows in cut(network, 0, max_bytes):
        if isinstance(rows, tuple):
            touched = {row // per_group for row in range(*rows)}
            assert len(touched) == 1 or len(touched) * per_group == rows[1] - rows[0]
            assert tiling.allows(rows)


@given(grouped(), st.integers(-3, 45), st.integers(-3, 45))
def test_allowed_ranges_are_in_one_group_or_whole_groups(network: Network, first: int, last: int) -> None:
    """A range is allowed if and only if it exists and is within one group or consists of whole groups."""
    tiling = find_tiling(network.layers[0])
    assert tiling is not None
    groups = {row // (tiling.rows // tiling.groups) for row in range(first, last)}
    whole = len(groups) * (tiling.rows // tiling.groups) == last - first
    exists = 0 <= first < last <= tiling.rows
    assert tiling.allows((first, last)) is (exists and (len(groups) == 1 or whole))


@given(NETWORKS, SIZES)
def test_tiles_have_all_bytes_of_the_layer(network: Network, max_bytes: int) -> None:
    """The tiles contain each byte of the layer once: by size, by tensors, and by stretches of the file."""
    for i, (layer, tiles) in enumerate(_layers(network, max_bytes)):
        assert sum(tile_bytes(network, i, rows) for rows in tiles) == layer.weight_bytes
        for rows in tiles:
            assert sum(spec.size_bytes for spec in specs(layer, rows)) == tile_bytes(network, i, rows)
            assert sum(size for _, size in stretches(layer, rows)) == tile_bytes(network, i, rows)
        if layer.weights and not layer.weights[0].name.startswith("weight0"):  # all at offset 0
            parts = sorted(part for rows in tiles for part in stretches(layer, rows))
            assert all(sum(before) <= after[0] for before, after in pairwise(parts))
            assert {byte for part in parts for byte in range(part[0], sum(part))} == {
                byte for offset, size in stretches(layer, WHOLE) for byte in range(offset, offset + size)
            }


@given(NETWORKS, SIZES)
def test_shares_add_up_to_one(network: Network, max_bytes: int) -> None:
    """The shares of the tiles of a layer add up to 1."""
    for layer, tiles in _layers(network, max_bytes):
        assert sum(share(layer, rows) for rows in tiles) == pytest.approx(1.0)


@given(NETWORKS, SIZES)
def test_tiles_hold_the_activations_of_the_layer(network: Network, max_bytes: int) -> None:
    """A running tile holds at least the layer's activations, and all tiles but the last keep the inputs of the next."""
    for layer, tiles in _layers(network, max_bytes):
        tiling = find_tiling(layer)
        for rows in tiles:
            assert working_bytes(layer, rows) >= max(layer.activation_bytes, live_out_bytes(layer, rows))
        assert live_out_bytes(layer, tiles[-1]) == layer.live_out_bytes
        if tiling is not None:
            others = layer.weight_bytes - tiling.size_bytes
            assert all(live_out_bytes(layer, rows) == layer.activation_bytes + others for rows in tiles[:-1])


@given(st.integers(0, 3 * PAGE), st.integers(1, 3 * PAGE))
def test_pages_are_those_of_the_bytes(offset: int, size_bytes: int) -> None:
    """The pages of a stretch are the pages of its bytes."""
    pages = {byte // PAGE for byte in range(offset, offset + size_bytes)}
    assert pages_bytes(offset, size_bytes) == PAGE * len(pages)


@given(grouped(), SIZES)
def test_span_has_the_pages_of_all_stretches(network: Network, max_bytes: int) -> None:
    """The span of a tile has the pages of each of its stretches."""
    for rows in cut(network, 0, max_bytes):
        layer = network.layers[0]
        assert span_bytes(layer, rows) == sum(pages_bytes(*stretch) for stretch in stretches(layer, rows))
        assert span_bytes(layer, rows) % PAGE == 0


class Function(nn.Module):
    """A module computed by a function of a value and named weights."""

    def __init__(self, function: Any, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self._function = function
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.rand(shape)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Call the function with this module and its input."""
        return self._function(self, x)  # type: ignore[no-any-return]


VECTOR = torch.rand(2, 6)
IMAGE = torch.rand(1, 6, 5, 5)
UNCUT = {
    "two large weights": (Function(lambda m, x: F.bilinear(x, x, m.w, m.b), w=(4, 6, 6), b=(4,)), VECTOR),
    "a view of the weight": (Function(lambda m, x: F.linear(x, m.w.t()), w=(6, 8)), VECTOR),
    "a slice of the weight": (Function(lambda m, x: F.linear(x, m.w[2:6]), w=(8, 6)), VECTOR),
    "a view of the bias": (Function(lambda m, x: F.linear(x, m.w, m.b[:8]), w=(8, 6), b=(16,)), VECTOR),
    "one bias for all rows": (Function(lambda m, x: F.linear(x, m.w, m.b), w=(8, 6), b=(1,)), VECTOR),
    "a computed bias": (Function(lambda m, x: F.linear(x, m.w, x[0, :1].expand(8)), w=(8, 6)), VECTOR),
    "a weight times itself": (Function(lambda m, x: x + F.linear(m.w, m.w), w=(6, 6)), torch.rand(6, 6)),
    "a weight as the input": (Function(lambda m, x: F.linear(m.w, x), w=(8, 6)), VECTOR),
    "a weight used twice": (Function(lambda m, x: F.linear(F.linear(x, m.w).relu(), m.w), w=(6, 6)), VECTOR),
    "a transposed convolution": (nn.ConvTranspose2d(6, 8, 3), IMAGE),
    "padding in words": (nn.Conv2d(6, 8, 3, padding="same"), IMAGE),
    "no large weight": (nn.LayerNorm(6), VECTOR),
    "no weight": (nn.ReLU(), VECTOR),
    "a weight of no rows": (nn.Linear(6, 0), VECTOR),
    "ids that are computed": (Function(lambda m, x: F.embedding(x + 1, m.w), w=(9, 6)), torch.tensor([[1, 2]])),
}


@pytest.mark.parametrize("name", UNCUT)
def test_layers_that_cannot_be_cut_stay_whole(tmp_path: Path, name: str) -> None:
    """A layer that cannot be applied by rows stays whole, even with the smallest maximum."""
    module, x = UNCUT[name]
    network = read_graph(stored(tmp_path, module, (x,)))
    assert [cut(network, i, 0) for i in range(len(network.layers))] == [(WHOLE,)] * len(network.layers)


class Positions(nn.Module):
    """Looks up the same rows for every input."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 6)
        self.register_buffer("ids", torch.arange(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the rows."""
        return x + self.table(self.ids)  # type: ignore[no-any-return]


def test_embedding_of_stored_ids_stays_whole(tmp_path: Path) -> None:
    """An embedding whose ids are weights stays whole, because no request chooses its rows."""
    network = read_graph(stored(tmp_path, Positions(), (torch.rand(4, 6),)))
    assert [cut(network, i, 0) for i in range(len(network.layers))] == [(WHOLE,)]


@pytest.mark.parametrize(("shape", "rows"), [((3, 4), 12), ((50, 4), 100), ((), 1), ((0,), 0), ((2, 0), 0)])
def test_embedding_of_an_input_loads_requested_rows(tmp_path: Path, shape: tuple[int, ...], rows: int) -> None:
    """Its tile is the requested rows: one per id, but at most those of the table."""
    module = nn.Sequential(nn.Embedding(100, 6), nn.LayerNorm(6))
    network = read_graph(stored(tmp_path, module, (torch.zeros(shape, dtype=torch.int64),)))
    (layer,) = network.layers
    assert has_requested_rows(network, 0)
    assert cut(network, 0, 1 << 30) == cut(network, 0, 0) == (REQUESTED,)
    assert tile_bytes(network, 0, REQUESTED) == 4 * (rows * 6 + 2 * 6)
    assert (is_last(layer, REQUESTED), share(layer, REQUESTED)) == (True, 1.0)
    assert working_bytes(layer, REQUESTED) == layer.activation_bytes
    assert live_out_bytes(layer, REQUESTED) == layer.live_out_bytes


def test_embedding_of_a_reshaped_input_loads_requested_rows(tmp_path: Path) -> None:
    """Its tile is the requested rows, because another shape does not change which rows they are."""
    module = Function(lambda m, x: F.embedding(x.reshape(-1, 2), m.w), w=(9, 6))
    network = read_graph(stored(tmp_path, module, (torch.tensor([[1, 2, 1, 3]]),)))
    assert cut(network, 0, 0) == (REQUESTED,)
    assert tile_bytes(network, 0, REQUESTED) == 4 * 4 * 6


def test_no_range_of_an_embedding_is_allowed(tmp_path: Path) -> None:
    """No range of an embedding's rows can be applied on its own."""
    (layer,) = read_graph(stored(tmp_path, nn.Embedding(10, 6), (torch.tensor([1]),))).layers
    tiling = find_tiling(layer)
    assert tiling is not None
    assert not any(tiling.allows(rows) for rows in [(0, 5), (0, 10), (3, 4)])


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("bias", [True, False])
def test_exported_convolutions_are_cut(tmp_path: Path, groups: int, bias: bool) -> None:  # noqa: FBT001
    """An exported convolution is cut by its output channels, within its groups; its bias is not cut."""
    (layer,) = read_graph(stored(tmp_path, nn.Conv2d(6, 12, 3, groups=groups, bias=bias), (IMAGE,))).layers
    tiling = find_tiling(layer)
    assert tiling is not None
    assert (tiling.rows, tiling.groups) == (12, groups)
    assert [spec.name for spec in tiling.others(layer)] == (["bias"] if bias else [])


@given(grouped())
def test_layers_that_differ_in_groups_are_cut_differently(network: Network) -> None:
    """Two layers that differ only in their groups are each cut correctly, in any order."""
    layer = network.layers[0]
    groups = layer.ops[0].args[6]
    other = msgspec.structs.replace(
        layer, ops=(msgspec.structs.replace(layer.ops[0], args=[*layer.ops[0].args[:6], 1]),)
    )
    tilings = [find_tiling(layer), find_tiling(other), find_tiling(layer)]
    assert [tiling.groups for tiling in tilings if tiling is not None] == [groups, 1, groups]


class _Words(nn.Module):
    """Looks up words in a table, which may also be the weight of its last layer."""

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


def test_tables_of_embeddings_are_not_needed(tmp_path: Path) -> None:
    """All weights are needed except the table of an embedding, because a request needs only a few of its rows."""
    folder = stored(tmp_path, _Words(tied=False), (torch.tensor([1]),))
    weights = _weights(folder)
    table = weights.pop("table.weight")
    required = required_stretches(read_graph(folder))
    assert sum(size_bytes for _, size_bytes in required) == sum(weight.size_bytes for weight in weights.values())
    assert last_required_bytes(read_graph(folder)) == tuple(
        sum(weight.size_bytes for weight in layer.weights if weight.offset != table.offset)
        for layer in read_graph(folder).layers
    )
    assert not any(offset < sum((table.offset, table.size_bytes)) for offset, _ in required)


def test_shared_weight_is_needed_once(tmp_path: Path) -> None:
    """A table that is also the weight of another layer is needed, once."""
    folder = stored(tmp_path, _Words(tied=True), (torch.tensor([1]),))
    network = read_graph(folder)
    distinct = {(weight.offset, weight.size_bytes) for layer in network.layers for weight in layer.weights}
    assert sum(size_bytes for _, size_bytes in required_stretches(network)) == sum(
        size_bytes for _, size_bytes in distinct
    )
    assert network.weight_bytes == sum(size_bytes for _, size_bytes in distinct) + 100 * 8 * 4
    *_, last = network.layers
    assert last_required_bytes(network)[-1] == sum(
        {weight.offset: weight.size_bytes for weight in last.weights}.values()
    )
    assert sum(last_required_bytes(network)) == sum(size_bytes for _, size_bytes in distinct)
