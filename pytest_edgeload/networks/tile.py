"""Tiles: the slices of a layer's weights that can be loaded and applied on their own. Pure; never imports torch.

A linear layer is cut by its outputs, and a convolution by its output channels (within a group, or by whole groups);
both are rows of the weight. A weight may consist of several tensors, such as numbers and scales, each of which has the
rows; see `layer.RowCut`. Of an embedding, a request loads the rows that it looks up. All other layers stay whole.
`engine.tiles` applies the tiles.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import msgspec

from pytest_edgeload.networks.layer import Layer, Network, Op, RowCut, TensorSpec, merge, weight_stretches

PAGE = 4096
"""Bytes to which direct reads are aligned, in the file and in memory; enough for every common file system."""


class NamedTile(enum.Enum):
    """A tile that is not a range of rows."""

    WHOLE = "whole"
    REQUESTED = "requested"

    __hash__ = object.__hash__  # quicker than that of an Enum: tiles are part of many keys


WHOLE: Final = NamedTile.WHOLE
"""All weights of a layer."""

REQUESTED: Final = NamedTile.REQUESTED
"""The rows of an embedding that its request looks up, known when the request has read its input."""

RowRange = tuple[int, int]
"""Rows of a weight, from the first up to, but without, the second."""

Tile = RowRange | NamedTile
"""A slice of one layer's weights that can be loaded and applied on its own."""

LINEAR = "aten.linear.default"
CONVOLUTIONS = {"aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default"}
EMBEDDING = "aten.embedding.default"
RESHAPES = {"aten.reshape.default", "aten.view.default", "aten.unsqueeze.default"}
BIAS_AT, GROUPS_AT = 2, 6
"""Positions of arguments: conv(input, weight, bias, stride, padding, dilation, groups), linear(input, weight, bias)."""


@dataclass(frozen=True)
class Tiling:
    """How a layer can be cut: by rows of `weights`, which only the ops of its row cut use.

    `groups` is the number of groups of a convolution. `ids` is the value with the numbers of the rows that an embedding
    looks up, in any shape, None otherwise.
    """

    row_cut: RowCut
    weights: tuple[TensorSpec, ...]
    groups: int = 1
    ids: str | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.row_cut.rows

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of all rows."""
        return sum(weight.size_bytes for weight in self.weights)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.size_bytes // max(1, self.rows)

    def slices(self, rows: RowRange) -> tuple[TensorSpec, ...]:
        """Return these rows of each of the weights as a tensor of their own."""
        return tuple(self._slice(weight, rows) for weight in self.weights)

    def _slice(self, weight: TensorSpec, rows: RowRange) -> TensorSpec:
        count, size_bytes = rows[1] - rows[0], weight.size_bytes // self.rows
        return msgspec.structs.replace(
            weight,
            shape=(weight.shape[0] // self.rows * count, *weight.shape[1:]),
            offset=weight.offset + rows[0] * size_bytes,
            size_bytes=count * size_bytes,
        )

    def others(self, layer: Layer) -> tuple[TensorSpec, ...]:
        """Return the weights of `layer` that are not cut, such as its bias and its normalization."""
        return tuple(weight for weight in layer.weights if weight not in self.weights)

    def allows(self, rows: RowRange) -> bool:
        """Return whether these rows can be applied on their own: they are within one group, or whole groups.

        No rows of an embedding can, because only its request knows which rows it looks up.
        """
        first, last = rows
        per_group, unit = self.rows // self.groups, self.row_cut.unit
        is_in_one = first // per_group == (last - 1) // per_group
        is_whole = first % unit == 0 and (last % unit == 0 or last == self.rows)
        fits = 0 <= first < last <= self.rows and (is_in_one or first % per_group == last % per_group == 0)
        return fits and is_whole and self.ids is None


def _tiling(layer: Layer) -> Tiling | None:
    """Return how a layer can be cut in all steps."""
    later, first = _tiling_of_ops(layer), _tiling_of_ops(layer.in_first_step)
    is_same = later is not None and first is not None and _slices(later) == _slices(first)
    return later if is_same else None


def _slices(tiling: Tiling) -> Any:
    """Return all of a tiling that tiles depend on."""
    cut = tiling.row_cut
    return cut.rows, cut.axes, cut.unit, tiling.weights, tiling.groups, tiling.ids


def _tiling_of_ops(layer: Layer) -> Tiling | None:
    """Return how a layer can be cut in later steps."""
    row_cut = layer.row_cut or _plain_row_cut(layer)
    if row_cut is None:
        return None
    candidates = [weight for weight in layer.weights if row_cut.axes.get(weight.name) == 0]
    largest = max(candidates, key=lambda weight: (weight.size_bytes, len(weight.shape)), default=None)
    # Of a weight with one number in each row, such as a bias or a scale, a part is not worth a read of its own.
    weights = tuple(weight for weight in candidates if weight is largest or math.prod(weight.shape[1:]) > 1)
    if largest is None or largest.size_bytes < max(weight.size_bytes for weight in layer.weights):
        return None  # a larger weight would stay in memory from the first tile to the last
    op = layer.ops[row_cut.op]
    if op.target == EMBEDDING:
        return Tiling(row_cut, weights, ids=_before_reshaping(layer.ops[: row_cut.first], op.args[1]["value"]))
    groups = op.args[GROUPS_AT] if op.target in CONVOLUTIONS and len(op.args) > GROUPS_AT else 1
    return Tiling(row_cut, weights, groups)


def _before_reshaping(ops: Sequence[Op], value: str) -> str:
    """Return the value that has the same numbers as `value` in another shape, before `ops` have run."""
    for op in reversed(ops):
        if op.output == value and op.target in RESHAPES:
            value = op.args[0]["value"]
    return value


def _plain_row_cut(layer: Layer) -> RowCut | None:
    """Return how a layer can be cut whose only matrix is an argument of a linear op, convolution or embedding."""
    matrices = [weight for weight in layer.weights if len(weight.shape) > 1]
    if len(matrices) != 1 or not matrices[0].size_bytes:
        return None
    weight = matrices[0]
    users = [i for i, op in enumerate(layer.ops) if _uses([op.args, list(op.kwargs.values())], weight.name)]
    if len(users) != 1:
        return None
    op, rows = layer.ops[users[0]], weight.shape[0]
    reference = {"weight": weight.name}
    if op.target == EMBEDDING and op.args[0] == reference and "value" in op.args[1]:
        return RowCut(users[0], users[0], rows, {weight.name: 0}, rows)
    if op.target not in {LINEAR, *CONVOLUTIONS} or op.args[0] == reference or op.args[1] != reference or op.kwargs:
        return None
    # The bias is cut like the weight, so it must have one number for each row and not be a view.
    biases = [None, *({"weight": bias.name} for bias in layer.weights if bias.shape == weight.shape[:1])]
    bias = op.args[BIAS_AT] if len(op.args) > BIAS_AT else None
    if bias not in biases:
        return None
    return RowCut(users[0], users[0], rows, {weight.name: 0, **({} if bias is None else {bias["weight"]: 0})}, rows)


def find_tiling(layer: Layer) -> Tiling | None:
    """Return how `layer` can be cut; None if it cannot. It is computed once and kept with the layer, as a property."""
    known = layer.__dict__
    if "tiling" not in known:
        known["tiling"] = _tiling(layer)
    tiling: Tiling | None = known["tiling"]
    return tiling


def _uses(argument: Any, weight: str) -> bool:
    match argument:
        case {"weight": str(name)}:
            return name == weight
        case list():
            return any(_uses(item, weight) for item in argument)
    return False


def cut(network: Network, layer: int, max_bytes: int) -> tuple[Tile, ...]:
    """Return the tiles of a layer in order, as equal in size as possible.

    Each tile has at most `max_bytes` of the weights that are cut, or the fewest rows possible. The first tile also
    brings the weights that are not cut.
    """
    tiling = find_tiling(network.layers[layer])
    if tiling is None:
        return (WHOLE,)
    if tiling.ids is not None:
        return (REQUESTED,) if has_requested_rows(network, layer) else (WHOLE,)
    unit = tiling.row_cut.unit
    max_rows = max(unit, max_bytes // max(1, tiling.row_bytes) // unit * unit)
    if tiling.rows <= max_rows:
        return (WHOLE,)
    per_group = tiling.rows // tiling.groups
    if max_rows >= per_group:
        return tuple(_ranges(0, tiling.rows, max_rows // per_group * per_group, per_group))
    groups = range(tiling.groups)
    return tuple(rows for g in groups for rows in _ranges(g * per_group, (g + 1) * per_group, max_rows, unit))


def _ranges(first: int, end: int, max_rows: int, unit: int) -> Iterable[RowRange]:
    """Cut the rows from `first` up to `end` into nearly equal ranges of whole units of at most `max_rows` rows."""
    units = -(-(end - first) // unit)
    count = -(-(end - first) // max_rows)
    bounds = [first + unit * (units * i // count) for i in range(count)] + [end]
    return pairwise(bounds)


def has_requested_rows(network: Network, layer: int) -> bool:
    """Return whether a request can load only the rows it looks up: the layer is an embedding of a network's input."""
    tiling = find_tiling(network.layers[layer])
    return tiling is not None and tiling.ids is not None and _max_requested_rows(network, tiling) is not None


def _max_requested_rows(network: Network, tiling: Tiling) -> int | None:
    """Return how many rows of an embedding a request can look up; None if its ids are known only after it has run."""
    if tiling.ids not in network.inputs:
        return None
    shape = network.samples[0].inputs[network.inputs.index(tiling.ids)].shape
    return min(tiling.rows, math.prod(shape))


def is_last(layer: Layer, tile: Tile) -> bool:
    """Return whether the layer is complete after this tile."""
    if not isinstance(tile, tuple):
        return True
    tiling = find_tiling(layer)
    return tiling is None or tile[1] == tiling.rows


def share(layer: Layer, tile: Tile) -> float:
    """Return the share of the layer's work that a tile is, from 0 to 1."""
    tiling = find_tiling(layer)
    return 1.0 if tiling is None or not isinstance(tile, tuple) else (tile[1] - tile[0]) / tiling.rows


def tile_bytes(network: Network, layer: int, tile: Tile) -> int:
    """Return the bytes of a tile's weights. The first tile of a layer includes the weights that are not cut."""
    layer_bytes = network.layers[layer].weight_bytes
    tiling = find_tiling(network.layers[layer])
    if tile is WHOLE or tiling is None:
        return layer_bytes
    other_bytes = layer_bytes - tiling.size_bytes
    if tile is REQUESTED:
        max_rows = _max_requested_rows(network, tiling)
        return other_bytes + (tiling.rows if max_rows is None else max_rows) * tiling.row_bytes
    return (tile[1] - tile[0]) * tiling.row_bytes + (other_bytes if tile[0] == 0 else 0)


def specs(layer: Layer, tile: Tile) -> tuple[TensorSpec, ...]:
    """Return the tensors of a tile. The first tile of a layer includes the weights that are not cut."""
    tiling = find_tiling(layer)
    if tiling is None or not isinstance(tile, tuple):
        return layer.weights
    return (*(tiling.others(layer) if tile[0] == 0 else ()), *tiling.slices(tile))


def stretches(layer: Layer, tile: Tile) -> tuple[tuple[int, int], ...]:
    """Return the stretches of the weights file that contain a tile, as (first byte, length); adjacent ones merged."""
    return weight_stretches(specs(layer, tile))


def required_stretches(network: Network) -> tuple[tuple[int, int], ...]:
    """Return the stretches of the weights file that every request needs, as (first byte, length), each once.

    The tables of embeddings are left out, because each request needs other rows of them.
    """
    return merge({stretch for layer in network.layers for stretch in _required(layer)})


def last_required_bytes(network: Network) -> tuple[int, ...]:
    """Return, for each layer, the bytes in `required_stretches` that no later layer needs."""
    needed: set[tuple[int, int]] = set()
    after_bytes = [0]
    for layer in reversed(network.layers):
        needed |= _required(layer)
        after_bytes.append(sum(size_bytes for _, size_bytes in merge(needed)))
    return tuple(more - less for less, more in pairwise(after_bytes))[::-1]


def _required(layer: Layer) -> set[tuple[int, int]]:
    """Return the stretches of the weights of a layer that every request needs."""
    tiling = find_tiling(layer)
    weights = layer.weights if tiling is None or tiling.ids is None else tiling.others(layer)
    return {(weight.offset, weight.size_bytes) for weight in weights if weight.size_bytes}


def pages_bytes(offset: int, size_bytes: int) -> int:
    """Return the bytes of the whole pages that contain a stretch of a file."""
    return -(-(offset + size_bytes) // PAGE) * PAGE - offset // PAGE * PAGE


def span_bytes(layer: Layer, tile: Tile) -> int:
    """Return the bytes of the whole pages that contain the stretches of a tile."""
    return sum(pages_bytes(*stretch) for stretch in stretches(layer, tile))


def working_bytes(layer: Layer, tile: Tile) -> int:
    """Return the peak of activation bytes while a tile is executed.

    Besides the activations of the whole layer, a range of rows holds its own result until that is copied to the others,
    and the weights that are not cut, which later tiles need after the first tile's weights are freed. Of a weight whose
    rows are not next to each other, the rows are copied.
    """
    tiling = find_tiling(layer)
    if tiling is None or not isinstance(tile, tuple):
        return layer.max_activation_bytes
    strided_bytes = sum(weight.size_bytes for weight in layer.weights if tiling.row_cut.axes.get(weight.name))
    result_bytes = -(-(layer.max_activation_bytes + strided_bytes) * (tile[1] - tile[0]) // tiling.rows)
    return layer.max_activation_bytes + result_bytes + layer.weight_bytes - tiling.size_bytes


def copies_bytes(network: Network, layer: int, tile: Tile) -> int:
    """Return the bytes of the copies that PyTorch makes of a tile's weights while it is executed.

    A convolution brings them into the layout of its images, and then into that of the processor.
    """
    return 2 * tile_bytes(network, layer, tile) if network.layers[layer].is_convolution else 0


def live_out_bytes(layer: Layer, tile: Tile) -> int:
    """Return the activation bytes that are still held after a tile has been executed."""
    if is_last(layer, tile):
        return layer.max_live_out_bytes
    tiling = find_tiling(layer)
    return layer.max_activation_bytes + layer.weight_bytes - (tiling.size_bytes if tiling else 0)
