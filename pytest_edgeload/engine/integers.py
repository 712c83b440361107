"""Multiplies weights of int8 as they are stored, without widening them first. Imports torch.

The values of each row of the input become whole numbers of 31 bits, and these four digits of 8 bits. Products of 8-bit
numbers are summed in 32 bits without rounding, so the result is at least as precise as the product of widened weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from pytest_edgeload.engine.kernels import find_operator
from pytest_edgeload.networks.layer import Layer, Op, TensorSpec
from pytest_edgeload.networks.tile import LINEAR

# GB of weights per second, one row, weights of 2560 x 960 outside the caches; PyTorch 2.13, one core of a busy Xeon
# with AMX: as whole numbers 2.2, by PyTorch's operator for packed int8 weights 1.2, widened in blocks to float32 0.7,
# to bfloat16 0.5, to float16 with scales 0.14.
_MAX_ROWS = 16
_MAX_INPUTS = 1 << 16  # sums of so many products of 8-bit numbers fit in 32 bits
_BLOCK_BYTES, _RESULT_BYTES = 1 << 20, 32  # of four sums of 32 bits, as integers and as floating-point numbers
_DIGITS = 4
_POWERS = torch.tensor([2.0 ** (8 * digit - 30) for digit in range(_DIGITS)])
_HALVES = 0x00808080  # half of each digit but the highest one
_TINY = 1e-28  # 2**30 divided by it is still finite
_multiply = find_operator("aten._int_mm.default")


@dataclass(frozen=True, slots=True)
class IntegerProduct:
    """A linear op of the value `x` and a matrix: `numbers`, of int8, times `scales`. These and `bias` are weights."""

    x: str
    numbers: str
    scales: str | None
    bias: str | None

    def applies(self, values: Mapping[str, torch.Tensor]) -> bool:
        """Return whether the op can be computed here: its input has few rows, and the processor is exact."""
        x = values[self.x]
        is_small = 0 < x.numel() <= _MAX_ROWS * x.shape[-1] and x.shape[-1] <= _MAX_INPUTS
        return is_small and x.dtype != torch.float64 and _is_exact()

    def block_rows(self, values: Mapping[str, torch.Tensor]) -> int:
        """Return how many rows of the matrix to multiply at a time."""
        x = values[self.x]
        return _BLOCK_BYTES // (_RESULT_BYTES * (x.numel() // x.shape[-1]))

    def __call__(self, values: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the outputs of the rows that `weights` contain."""
        x, numbers = values[self.x], weights[self.numbers]
        rows = x.reshape(-1, x.shape[-1]).float()
        largest = torch.linalg.vector_norm(rows, torch.inf, dim=-1, keepdim=True).clamp_min_(_TINY)
        whole = (rows * (2.0**30 / largest)).to(torch.int32).add_(_HALVES).bitwise_xor_(_HALVES)
        digits = whole[..., None].view(torch.int8).transpose(0, 1).reshape(rows.shape[1], -1)
        sums: torch.Tensor = _multiply(numbers, digits)
        y: torch.Tensor = torch.mv(sums.view(-1, _DIGITS).float(), _POWERS).view(len(numbers), -1)
        if self.scales is not None:
            y = y * weights[self.scales]
        y = y.t() * largest
        if self.bias is not None:
            y = y + weights[self.bias]
        y = y.to(x.dtype).contiguous()
        return y.view(*x.shape[:-1], len(numbers))


def find_integer_product(layer: Layer) -> IntegerProduct | None:
    """Return the product that `layer` computes row by row, if it is one of int8 and a scale for each row or none."""
    cut = layer.row_cut
    if cut is None or layer.ops[cut.op].target != LINEAR or layer.ops[cut.op].kwargs:
        return None
    specs = {weight.name: weight for weight in layer.weights if weight.name in cut.axes}
    x, matrix, *rest = layer.ops[cut.op].args
    bias = rest[0] if rest else None
    numbers, scales = _numbers_and_scales(layer.ops[cut.first : cut.op], specs, matrix)
    if numbers is None or "value" not in x or not (bias is None or bias.get("weight") in specs):
        return None
    return IntegerProduct(x["value"], numbers, scales, bias and bias["weight"])


def _numbers_and_scales(
    widen: tuple[Op, ...], specs: Mapping[str, TensorSpec], matrix: Any
) -> tuple[str | None, str | None]:
    """Return the names of the numbers of int8 and of their scales that `widen` makes `matrix` of; None without."""
    match [(op.target, *op.args) for op in widen]:
        case [("aten._to_copy.default", {"weight": str(numbers)})]:
            scales = None
        case [
            ("aten._to_copy.default", {"weight": str(numbers)}),
            ("aten.mul.Tensor", {"value": str(copy)}, {"weight": str(scales)}),
        ] if copy == widen[0].output and scales in specs and specs[scales].shape == (specs[scales].shape[0], 1):
            pass
        case _:
            return None, None
    spec = specs.get(numbers)
    is_matrix = spec is not None and spec.dtype == "int8" and len(spec.shape) == 2  # noqa: PLR2004
    return (numbers, scales) if is_matrix and matrix == {"value": widen[-1].output} else (None, None)


@cache
def _is_exact() -> bool:
    """Return whether sums of products of the largest numbers are right.

    Processors without VNNI add two products in 16 bits, which is too few.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    largest = torch.full((64, 64), 127, dtype=torch.int8)
    return bool((_multiply(largest, largest[:, :_DIGITS].contiguous()) == 64 * 127 * 127).all())
