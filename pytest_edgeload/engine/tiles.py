"""Executes layers, whole or tile by tile; `networks.tile` determines the tiles. Imports torch.

A tile of a linear layer computes some of its outputs, and a tile of a convolution some of its channels. The first tile
also runs the ops before the weighted op, and the last tile those after it (normalization, activation, pooling).
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import torch

from pytest_edgeload.engine.kernels import OpCall, compile_op
from pytest_edgeload.networks.layer import Layer
from pytest_edgeload.networks.tile import BIAS_AT, GROUPS_AT, REQUESTED, WHOLE, RowRange, Tile, Tiling, find_tiling

Values = MutableMapping[str, Any]
"""Activations by name."""

TileTensors = Mapping[str, torch.Tensor]
"""The weights of a tile by name."""

ROW_NUMBERS = "row numbers"
"""The name in the tensors of a requested tile for the sorted numbers of its rows; not a valid name of a weight."""


@dataclass(slots=True)
class LayerProgress:
    """A partly executed layer: the outputs of its first tiles, and the weights that are not cut."""

    others: dict[str, torch.Tensor] = field(default_factory=dict)
    output: torch.Tensor | None = None


class CompiledLayer:
    """A layer that is ready to run."""

    def __init__(self, layer: Layer) -> None:
        self._calls = tuple(compile_op(op) for op in layer.ops)
        self._tiling = find_tiling(layer)

    def run(self, tile: Tile, values: Values, weights: TileTensors, progress: LayerProgress) -> None:
        """Execute one tile; the tiles of a layer come in order, with one `progress`. Change `values` and `progress`."""
        if self._tiling is None or tile is WHOLE:
            for call in self._calls:
                call(values, weights)
        elif tile is REQUESTED:
            self._run_requested(self._tiling, values, weights)
        else:
            self._run_rows(self._tiling, tile, values, weights, progress)

    def _run_rows(
        self, cut: Tiling, rows: RowRange, values: Values, weights: TileTensors, progress: LayerProgress
    ) -> None:
        """Execute a tile that is a range of rows."""
        first, last = rows
        if first == 0:
            progress.others = {name: weight.clone() for name, weight in weights.items() if name != cut.weight.name}
            for call in self._calls[: cut.op]:
                call(values, progress.others)
        call = self._calls[cut.op]
        part, axis = _part(cut, call, rows, values, {**progress.others, cut.weight.name: weights[cut.weight.name]})
        if progress.output is None:
            progress.output = _empty_like(part, axis, cut.rows)
        progress.output.narrow(axis, first, last - first).copy_(part)
        if last == cut.rows:
            values[call.output] = progress.output
            call.drop(values)
            for after in self._calls[cut.op + 1 :]:
                after(values, progress.others)
            progress.others, progress.output = {}, None

    def _run_requested(self, cut: Tiling, values: Values, weights: TileTensors) -> None:
        """Execute an embedding with only the requested rows in memory."""
        assert cut.ids is not None  # only an embedding has such a tile
        for call in self._calls[: cut.op]:
            call(values, weights)
        call = self._calls[cut.op]
        position = torch.searchsorted(weights[ROW_NUMBERS], values[cut.ids])
        values[call.output] = torch.nn.functional.embedding(position, weights[cut.weight.name])
        call.drop(values)
        for after in self._calls[cut.op + 1 :]:
            after(values, weights)


def _part(cut: Tiling, call: OpCall, rows: RowRange, values: Values, weights: TileTensors) -> tuple[torch.Tensor, int]:
    """Return the outputs of these rows, and the axis along which rows are arranged."""
    first, last = rows
    x, weight, *rest = (argument(values, weights) for argument in call.args)
    if rest and rest[0] is not None:
        rest[0] = rest[0][first:last]
    axis = 1 - weight.ndim  # from the end, because an image may have no batch axis
    if weight.ndim == 2:  # noqa: PLR2004  # linear: the last axis
        return call.function(x, weight, *rest), -1
    if cut.groups > 1:
        per_group = cut.rows // cut.groups
        begin, end = first // per_group, -(-last // per_group)
        inputs = x.shape[axis] // cut.groups
        x = x.narrow(axis, begin * inputs, (end - begin) * inputs)
        rest[GROUPS_AT - BIAS_AT] = end - begin
    return call.function(x, weight, *rest), axis


def _empty_like(part: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """Return an uninitialized tensor like `part`, with `size` elements along `axis`, in the same layout."""
    shape = list(part.shape)
    shape[axis] = size
    # Of an image with one channel, which has both layouts, only the stride of the channels shows which one is meant.
    is_channels_last = part.ndim == 4 and part.stride(1) == 1 and part.shape[2:] != (1, 1)  # noqa: PLR2004
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=part.dtype, memory_format=layout)
