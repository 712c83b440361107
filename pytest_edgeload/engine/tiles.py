"""Executes layers, whole or tile by tile; `networks.tile` determines the tiles. Imports torch.

A tile of a linear layer computes some of its outputs, and a tile of a convolution some of its channels. The first tile
also runs the ops before the weighted op, and the last tile those after it (normalization, activation, pooling). Weights
of a narrow type are widened in blocks of rows, whether the layer is whole or in tiles.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from pytest_edgeload.engine.integers import find_integer_product
from pytest_edgeload.engine.kernels import OpCall, compile_op
from pytest_edgeload.engine.shared_heads import share_heads
from pytest_edgeload.engine.straight import compile_ops
from pytest_edgeload.networks.layer import Layer, Op, RowCut
from pytest_edgeload.networks.tile import EMBEDDING, GROUPS_AT, REQUESTED, WHOLE, RowRange, Tile, find_tiling

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


@dataclass(frozen=True, slots=True)
class _HeldWeights:
    """The weights of a layer that are in memory: `others` with all rows, and `part` with the rows of a tile."""

    row_cut: RowCut
    others: TileTensors
    part: TileTensors = field(default_factory=dict)
    tile: RowRange = (0, 0)

    def of(self, rows: RowRange) -> TileTensors:
        """Return all weights, those that have the rows with these rows only."""
        tensors = {**self.others, **self.part}
        for name, axis in self.row_cut.axes.items():
            first, last = self.tile if name in self.part else (0, self.row_cut.rows)
            per_row = tensors[name].shape[axis] // (last - first)
            begin, count = (rows[0] - first) * per_row, (rows[1] - rows[0]) * per_row
            tensors[name] = tensors[name].narrow(axis, begin, count).contiguous()  # packed operators ignore strides
        return tensors


class CompiledLayer:
    """A layer that is ready to run."""

    def __init__(self, layer: Layer) -> None:
        tiling = find_tiling(layer)
        cut = layer.row_cut or (None if tiling is None else tiling.row_cut)
        before = 0 if cut is None else cut.op + 1  # indices of ops up to here count
        ops = (*layer.ops[:before], *share_heads(layer.ops[before:]))
        self._run_ops = compile_ops(ops if layer.row_cut is None else ())
        self._rows = None if cut is None else _RowByRow(layer, cut, ops)
        self._tiled = frozenset[str]() if tiling is None else {spec.name for spec in tiling.weights}
        self._is_plain = layer.row_cut is None  # computes with its weights as they are
        self._is_embedding = layer.row_cut is not None and layer.ops[layer.row_cut.op].target == EMBEDDING

    def run(self, tile: Tile, values: Values, weights: TileTensors, progress: LayerProgress) -> None:
        """Execute one tile; the tiles of a layer come in order, with one `progress`. Change `values` and `progress`."""
        if self._rows is None or (self._is_plain and tile is WHOLE):
            self._run_ops(values, weights)
        elif tile is REQUESTED:
            self._rows.look_up(values, weights, self._tiled)
        elif isinstance(tile, tuple):
            self._rows.run_tile(tile, values, weights, self._tiled, progress)
        elif self._is_embedding:
            self._rows.look_up(values, weights, ())
        else:
            self._rows.run_whole(values, weights)


class _RowByRow:
    """A layer that is executed row by row: the op at `cut.op` has a result for each row of a matrix.

    The ops `widen` make that matrix of weights.
    """

    def __init__(self, layer: Layer, cut: RowCut, ops: Sequence[Op]) -> None:
        self._cut = cut
        self._product = find_integer_product(layer)
        widen = ops[cut.first : cut.op]
        self._before, self._widen, self._after = map(compile_ops, (ops[: cut.first], widen, ops[cut.op + 1 :]))
        self._widened = [op.output for op in widen]
        self._op = compile_op(ops[cut.op])

    def run_whole(self, values: Values, weights: TileTensors) -> None:
        """Execute a layer whose weights are all in memory."""
        self._before(values, weights)
        output = self._apply((0, self._cut.rows), values, _HeldWeights(self._cut, weights), None)
        self._finish(output, values, weights)

    def run_tile(
        self, rows: RowRange, values: Values, weights: TileTensors, tiled: Collection[str], progress: LayerProgress
    ) -> None:
        """Execute a tile that is a range of rows of the weights `tiled`."""
        first, last = rows
        part = {name: weights[name] for name in tiled}
        if first == 0:
            progress.others = {name: weight.clone() for name, weight in weights.items() if name not in tiled}
            self._before(values, progress.others)
        held = _HeldWeights(self._cut, progress.others, part, rows)
        progress.output = self._apply(rows, values, held, progress.output)
        if last == self._cut.rows:
            self._finish(progress.output, values, progress.others)
            progress.others, progress.output = {}, None

    def _apply(
        self, rows: RowRange, values: Values, weights: _HeldWeights, output: torch.Tensor | None
    ) -> torch.Tensor:
        """Return `output` with the results of these rows, computed block by block."""
        product = self._product if self._product and self._product.applies(values) else None
        for block in self._cut.blocks(*rows, product.block_rows(values) if product else None):
            held = weights.of(block)
            part, axis = (product(values, held), -1) if product else self._block(block, values, held)
            if output is None and block == (0, self._cut.rows):
                return part
            if output is None:
                output = _empty_like(part, axis, self._cut.rows)
            output.narrow(axis, block[0], block[1] - block[0]).copy_(part)
        assert output is not None  # no rows are not a tile
        return output

    def _block(self, block: RowRange, values: Values, weights: TileTensors) -> tuple[torch.Tensor, int]:
        """Return the results of a block of rows, and the axis along which rows are arranged."""
        self._widen(values, weights)
        part, axis = _part(self._cut, self._op, block, values, weights)
        self._delete_widened(values)
        return part, axis

    def _delete_widened(self, values: Values) -> None:
        for name in self._widened:
            values.pop(name, None)

    def _finish(self, output: torch.Tensor, values: Values, weights: TileTensors) -> None:
        """Execute the ops after the op of the rows, whose output is complete."""
        values[self._op.output] = output
        self._op.drop(values)
        self._after(values, weights)

    def look_up(self, values: Values, weights: TileTensors, requested: Collection[str]) -> None:
        """Execute an embedding: take the rows that are looked up and widen them; `requested` weights have no others."""
        self._before(values, weights)
        ids: torch.Tensor = self._op.argument(1, values, weights)
        places = torch.searchsorted(weights[ROW_NUMBERS], ids) if requested else ids
        own = {
            name: weights[name].index_select(axis, (places if name in requested else ids).flatten())
            for name, axis in self._cut.axes.items()
        }
        self._widen(values, {**weights, **own})
        rows: torch.Tensor = self._op.argument(0, values, {**weights, **own})
        self._delete_widened(values)
        self._finish(rows.reshape(*ids.shape, *rows.shape[1:]), values, weights)


def _part(
    row_cut: RowCut, call: OpCall, rows: RowRange, values: Values, weights: TileTensors
) -> tuple[torch.Tensor, int]:
    """Return the outputs of these rows, and the axis along which rows are arranged."""
    args = call.arguments(values, weights)
    axis = 1 - args[1].ndim  # from the end, because an image may have no batch axis
    if args[1].ndim == 2:  # noqa: PLR2004  # a matrix product: the last axis
        return call.function(*args), -1
    groups = args[GROUPS_AT] if len(args) > GROUPS_AT else 1
    if groups > 1:
        per_group = row_cut.rows // groups
        begin, end = rows[0] // per_group, -(-rows[1] // per_group)
        inputs = args[0].shape[axis] // groups
        args[0] = args[0].narrow(axis, begin * inputs, (end - begin) * inputs)
        args[GROUPS_AT] = end - begin
    return call.function(*args), axis


def _empty_like(part: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """Return an uninitialized tensor like `part`, with `size` elements along `axis`, in the same layout."""
    shape = list(part.shape)
    shape[axis] = size
    # Of an image with one channel, which has both layouts, only the stride of the channels shows which one is meant.
    is_channels_last = part.ndim == 4 and part.stride(1) == 1 and part.shape[2:] != (1, 1)  # noqa: PLR2004
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=part.dtype, memory_format=layout)
