"""Tiles: which slices of a layer's weights can be loaded and applied by themselves. Pure; never imports torch.

A linear layer is cut by its outputs, a convolution by its output channels (within a group, or by whole groups), both
rows of the weight; of an embedding the rows are loaded that its request asks for. Anything else stays whole. How a tile
is applied stands in `engine.tiles`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import msgspec

from pytest_edgeload.networks.layer import Layer, Network, TensorSpec, merge

PAGE = 4096
"""Bytes to which direct reads are aligned, in the file and in memory; enough for every common file system."""

Rows = tuple[int, int] | Literal["asked"] | None
"""A tile: rows of the layer's weight from the first up to the second; those its request asks for; None: all it has."""

_LINEAR = "aten.linear.default"
_CONVOLUTIONS = {"aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default"}
_EMBEDDING = "aten.embedding.default"
BIAS_AT, GROUPS_AT = 2, 6
"""Where arguments stand: conv(input, weight, bias, stride, padding, dilation, groups), linear(input, weight, bias)."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a layer can be cut: `weight` by rows, used by the op at index `op` only; `groups` of a convolution.

    `ids` is the value that an embedding looks up, None for all else.
    """

    op: int
    weight: TensorSpec
    groups: int = 1
    ids: str | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.weight.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.weight.size_bytes // max(1, self.rows)

    def slice(self, rows: tuple[int, int]) -> TensorSpec:
        """Return these rows of the weight as a tensor of their own."""
        count, size_bytes = rows[1] - rows[0], self.row_bytes
        return msgspec.structs.replace(
            self.weight,
            shape=(count, *self.weight.shape[1:]),
            offset=self.weight.offset + rows[0] * size_bytes,
            size_bytes=count * size_bytes,
        )

    def others(self, layer: Layer) -> tuple[TensorSpec, ...]:
        """Return the weights of `layer` that are not cut: its bias, its normalisation."""
        return tuple(weight for weight in layer.weights if weight is not self.weight)

    def allows(self, rows: tuple[int, int]) -> bool:
        """Tell whether these rows can be applied by themselves: within one group, or whole groups.

        Those of an embedding cannot: it is not known which of them its request asks for.
        """
        first, last = rows
        per_group = self.rows // self.groups
        inside_one = first // per_group == (last - 1) // per_group
        fits = 0 <= first < last <= self.rows and (inside_one or first % per_group == last % per_group == 0)
        return fits and self.ids is None


@lru_cache(maxsize=4096)
def _tiling(key: _ById) -> Tiling | None:
    layer = key.layer
    large = [weight for weight in layer.weights if len(weight.shape) > 1]
    if len(large) != 1 or not large[0].size_bytes:
        return None
    users = [i for i, op in enumerate(layer.ops) if _uses([op.args, list(op.kwargs.values())], large[0].name)]
    if len(users) != 1:
        return None
    op = layer.ops[users[0]]
    reference = {"weight": large[0].name}
    if op.target == _EMBEDDING and op.args[0] == reference and "value" in op.args[1]:
        return Tiling(users[0], large[0], ids=op.args[1]["value"])
    if op.target not in {_LINEAR, *_CONVOLUTIONS} or op.args[0] == reference or op.args[1] != reference or op.kwargs:
        return None
    # A number for each row, and no view: the bias is cut like the weight.
    biases = [None, *({"weight": weight.name} for weight in layer.weights if weight.shape == large[0].shape[:1])]
    if len(op.args) > BIAS_AT and op.args[BIAS_AT] not in biases:
        return None
    groups = op.args[GROUPS_AT] if op.target != _LINEAR and len(op.args) > GROUPS_AT else 1
    return Tiling(users[0], large[0], groups)


class _ById:
    """A layer as a key: told apart by identity, for comparing two means walking through all their ops."""

    __slots__ = ("layer",)

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.layer is other.layer

    def __hash__(self) -> int:
        return id(self.layer)


def tiling(layer: Layer) -> Tiling | None:
    """Return how `layer` can be cut; None where it cannot."""
    return _tiling(_ById(layer))


def _uses(argument: Any, weight: str) -> bool:
    match argument:
        case {"weight": str(name)}:
            return name == weight
        case list():
            return any(_uses(item, weight) for item in argument)
    return False


def cut(network: Network, layer: int, tile_bytes: int) -> tuple[Rows, ...]:
    """Return the tiles of a layer in order, as equal as can be.

    None has more than `tile_bytes` of the weight that is cut, or else it is a single row; the first one brings the bias
    and the like as well.
    """
    found = tiling(network.layers[layer])
    if found is None:
        return (None,)
    if found.ids is not None:
        return ("asked",) if is_asked(network, layer) else (None,)
    if found.weight.size_bytes <= max(tile_bytes, found.row_bytes):
        return (None,)
    most = max(1, tile_bytes // max(1, found.row_bytes))
    per_group = found.rows // found.groups
    if most >= per_group:
        return tuple(_ranges(0, found.rows, most // per_group * per_group, per_group))
    return tuple(part for g in range(found.groups) for part in _ranges(g * per_group, (g + 1) * per_group, most, 1))


def _ranges(first: int, end: int, most: int, unit: int) -> Iterable[tuple[int, int]]:
    """Cut the rows from `first` up to `end` into ranges of whole units, as equal as can be, none longer than `most`."""
    units = (end - first) // unit
    count = -(-(end - first) // most)
    bounds = [first + unit * (units * i // count) for i in range(count)] + [end]
    return pairwise(bounds)


def is_asked(network: Network, layer: int) -> bool:
    """Tell whether a layer can be loaded by the rows that a request asks for: an embedding of one of its inputs."""
    found = tiling(network.layers[layer])
    return found is not None and found.ids is not None and _asked_rows(network, found) is not None


def _asked_rows(network: Network, found: Tiling) -> int | None:
    """Return the most rows of an embedding that a request can ask for; None where that is not known before it runs."""
    if found.ids not in network.inputs:
        return None
    asked = network.samples[0].inputs[network.inputs.index(found.ids)].shape
    return min(found.rows, math.prod(asked))


def is_last(layer: Layer, rows: Rows) -> bool:
    """Tell whether the layer is done with this tile."""
    found = tiling(layer)
    return found is None or not isinstance(rows, tuple) or rows[1] == found.rows


def share(layer: Layer, rows: Rows) -> float:
    """Return which part of the layer's work a tile is, from 0 to 1."""
    found = tiling(layer)
    return 1.0 if found is None or not isinstance(rows, tuple) else (rows[1] - rows[0]) / found.rows


def tile_bytes(network: Network, layer: int, rows: Rows) -> int:
    """Return the bytes of a tile's weights; the first tile of a layer brings its bias and the like with it."""
    whole = network.layers[layer].weight_bytes
    found = tiling(network.layers[layer])
    if rows is None or found is None:
        return whole
    others = whole - found.weight.size_bytes
    if rows == "asked":
        asked = _asked_rows(network, found)
        return others + (found.rows if asked is None else asked) * found.row_bytes
    return (rows[1] - rows[0]) * found.row_bytes + (others if rows[0] == 0 else 0)


def specs(layer: Layer, rows: Rows) -> tuple[TensorSpec, ...]:
    """Return the tensors that a tile consists of; the first one of a layer brings its bias and the like with it."""
    found = tiling(layer)
    if found is None or not isinstance(rows, tuple):
        return layer.weights
    return (*(found.others(layer) if rows[0] == 0 else ()), found.slice(rows))


def stretches(layer: Layer, rows: Rows) -> tuple[tuple[int, int], ...]:
    """Return the stretches of the weights file that a tile needs, as (first byte, length); adjacent ones are one."""
    return merge((spec.offset, spec.size_bytes) for spec in specs(layer, rows) if spec.size_bytes)


def needed(network: Network) -> tuple[tuple[int, int], ...]:
    """Return the stretches of the weights file that no answer can do without, as (first byte, length), each once.

    Not in it are the tables of embeddings: which of their rows are needed is known only when they are asked for.
    """
    found = ((layer, tiling(layer)) for layer in network.layers)
    weights = (layer.weights if cut is None or cut.ids is None else cut.others(layer) for layer, cut in found)
    return merge({(weight.offset, weight.size_bytes) for own in weights for weight in own if weight.size_bytes})


def pages_bytes(offset: int, size_bytes: int) -> int:
    """Return the bytes of the whole pages that a stretch of a file lies in."""
    return -(-(offset + size_bytes) // PAGE) * PAGE - offset // PAGE * PAGE


def span_bytes(layer: Layer, rows: Rows) -> int:
    """Return the bytes of whole pages that a tile's stretches of the file lie in."""
    return sum(pages_bytes(*stretch) for stretch in stretches(layer, rows))


def working_bytes(layer: Layer, rows: Rows) -> int:
    """Return the most activation bytes that live while a tile is executed.

    Beside what the whole layer needs these are the tile's own result, before it is put to the others', and the bias
    and the like, which later tiles need after the first tile's weights are gone.
    """
    found = tiling(layer)
    if found is None or not isinstance(rows, tuple):
        return layer.activation_bytes
    result = -(-layer.activation_bytes * (rows[1] - rows[0]) // found.rows)
    return layer.activation_bytes + result + layer.weight_bytes - found.weight.size_bytes


def left_bytes(layer: Layer, rows: Rows) -> int:
    """Return the activation bytes that live when a tile has been executed."""
    if is_last(layer, rows):
        return layer.live_out_bytes
    found = tiling(layer)
    return layer.activation_bytes + layer.weight_bytes - (found.weight.size_bytes if found else 0)
