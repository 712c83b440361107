"""Applies layers, whole or tile by tile. How they are cut stands in `networks.tile`. Imports torch.

A tile of a linear layer gives some of its outputs, a tile of a convolution some of its channels. They are put together
as they come; what the layer does before and after (normalise, activate, pool) is done with the first and the last tile.
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
TileTensors = Mapping[str, torch.Tensor]


@dataclass(slots=True)
class LayerProgress:
    """A layer of which some tiles have been applied: its outputs so far, and the weights that are not cut."""

    others: dict[str, torch.Tensor] = field(default_factory=dict)
    output: torch.Tensor | None = None


class CompiledLayer:
    """A layer that is ready to run."""

    def __init__(self, layer: Layer) -> None:
        self._calls = tuple(compile_op(op) for op in layer.ops)
        self._tiling = find_tiling(layer)

    def run(self, rows: Tile, values: Values, weights: TileTensors, progress: LayerProgress) -> None:
        """Apply one tile; the tiles of a layer come in order, with one `progress`. Changes `values` and `progress`."""
        cut = self._tiling
        if cut is None or rows is WHOLE:
            for call in self._calls:
                call(values, weights)
            return
        if rows is REQUESTED:
            self._run_asked(values, weights)
            return
        first, last = rows
        if first == 0:
            progress.others = {name: weight.clone() for name, weight in weights.items() if name != cut.weight.name}
            for call in self._calls[: cut.op]:
                call(values, progress.others)
        call = self._calls[cut.op]
        part, axis = _part(cut, call, rows, values, {**progress.others, cut.weight.name: weights[cut.weight.name]})
        if progress.output is None:
            shape = list(part.shape)
            shape[axis] = cut.rows
            is_image = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)  # noqa: PLR2004
            layout = torch.channels_last if is_image else torch.contiguous_format
            progress.output = torch.empty(shape, dtype=part.dtype, memory_format=layout)
        progress.output.narrow(axis, first, last - first).copy_(part)
        if last == cut.rows:
            values[call.output] = progress.output
            call.drop(values)
            for after in self._calls[cut.op + 1 :]:
                after(values, progress.others)
            progress.others, progress.output = {}, None

    def _run_asked(self, values: Values, weights: TileTensors) -> None:
        """Apply an embedding of which only some rows are there, under the numbers in `ASKED`."""
        cut = self._tiling
        assert cut is not None  # or nothing could be asked for
        assert cut.ids is not None
        for call in self._calls[: cut.op]:
            call(values, weights)
        call = self._calls[cut.op]
        position = torch.searchsorted(weights[ASKED], values[cut.ids])
        values[call.output] = torch.nn.functional.embedding(position, weights[cut.weight.name])
        call.drop(values)
        for after in self._calls[cut.op + 1 :]:
            after(values, weights)


ASKED = "rows asked for"
"""The name, beside those of the weights, of the numbers of an embedding's rows, in order."""


def _part(cut: Tiling, call: OpCall, rows: RowRange, values: Values, weights: TileTensors) -> tuple[torch.Tensor, int]:
    """Return the outputs of these rows, and which axis they lie along."""
    first, last = rows
    x, weight, *rest = (bound(values, weights) for bound in call.args)
    if rest and rest[0] is not None:
        rest[0] = rest[0][first:last]
    axis = 1 - weight.ndim  # an image may come without a batch, so it is counted from the end
    if weight.ndim == 2:  # noqa: PLR2004  # linear: rows lie along the last axis
        return call.function(x, weight, *rest), -1
    if cut.groups > 1:
        per_group = cut.rows // cut.groups
        begin, end = first // per_group, -(-last // per_group)
        inputs = x.shape[axis] // cut.groups
        x = x.narrow(axis, begin * inputs, (end - begin) * inputs)
        rest[GROUPS_AT - BIAS_AT] = end - begin
    return call.function(x, weight, *rest), axis
