"""Turns stored ops into calls: finds operators by name and binds arguments to values and weights. Imports torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812  # the customary name

from pytest_edgeload.engine import lean_torch
from pytest_edgeload.networks.layer import Op

BoundArgument = Callable[[Mapping[str, Any], Mapping[str, torch.Tensor]], Any]
"""Returns an argument, given the values and the weights by name."""


@dataclass(frozen=True, slots=True)
class OpCall:
    """One op that is ready to run: it calls a function, stores the output, and drops values that no later op needs."""

    function: Callable[..., Any]
    args: tuple[BoundArgument, ...]
    kwargs: tuple[tuple[str, BoundArgument], ...]
    output: str
    drops: tuple[str, ...]

    def __call__(self, values: MutableMapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        """Run on `values` and `weights`, both by name; change `values`."""
        values[self.output] = self.function(
            *[argument(values, weights) for argument in self.args],
            **{key: argument(values, weights) for key, argument in self.kwargs},
        )
        self.drop(values)

    def drop(self, values: MutableMapping[str, Any]) -> None:
        """Delete the values that no op after this one needs."""
        for name in self.drops:
            del values[name]


def compile_op(op: Op) -> OpCall:
    """Return `op` ready to run. Raises LookupError if this PyTorch does not have its operator."""
    return OpCall(
        function=_REPLACEMENTS.get(op.target) or find_operator(op.target),
        args=tuple(bind(argument) for argument in op.args),
        kwargs=tuple((key, bind(argument)) for key, argument in op.kwargs.items()),
        output=op.output,
        drops=op.drops,
    )


def find_operator(target: str) -> Callable[..., Any]:
    """Return the operator of this name. Raises LookupError if this PyTorch does not have it."""
    if target == "getitem":
        return operator.getitem
    namespace, name, overload = target.split(".")
    if namespace != "aten":
        lean_torch.complete()  # some operators outside aten are registered only then
    try:
        function: Callable[..., Any] = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except AttributeError as error:
        raise LookupError(f"PyTorch {torch.__version__} has no operator {target}") from error
    return function


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> torch.Tensor:
    """Return conv2d, as a matrix product if the kernel covers the whole image (one sum per output channel).

    PyTorch would first convert the weights to the layout of its convolutions, which takes longer than the sums.
    """
    covers = x.shape[-2:] == weight.shape[-2:] and x.ndim == weight.ndim
    if covers and groups == 1 and not any(padding) and all(step == 1 for step in dilation):
        return F.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


_HAS_TILE_UNIT = bool(torch.cpu.get_capabilities().get("amx_bf16"))
_MAX_ROWS = 32


def apply_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return linear; for bfloat16 and few rows as a product with `weight` on the left, if the processor has AMX.

    AMX multiplies tiles of bfloat16. PyTorch rearranges the right operand for it, so that should be the small one.
    """
    # GB of weights per second, as linear | with the weight on the left, by number of rows; PyTorch 2.13, one core of a
    # Xeon with AMX, weights of 960 x 2560 outside the caches:
    #     bfloat16               1: 10 | 14    2: 10 | 12    16: 7 | 11    32: 7 | 10    64: 6 | 6
    #     bfloat16 without AMX   1:  9 |  4    2:  7 |  4    16: 3 |  4
    #     float16                1:  6 |  4    2:  6 |  4    16: 3 |  4
    #     float32                1: 16 | 16    2: 14 |  8    16: 6 |  8
    # float16 that is widened to float32 tile by tile reaches 5.
    if x.dtype != torch.bfloat16 or not _HAS_TILE_UNIT or not 0 < x.numel() <= _MAX_ROWS * x.shape[-1]:
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) == 1:
        y = torch.mv(weight, rows[0]) if bias is None else torch.addmv(bias, weight, rows[0])
    else:
        columns = rows.t()
        y = torch.mm(weight, columns) if bias is None else torch.addmm(bias[:, None], weight, columns)
    return y.t().contiguous().view(*x.shape[:-1], len(weight))


_REPLACEMENTS: Mapping[str, Callable[..., Any]] = {
    "aten.conv2d.default": convolve,
    "aten.linear.default": apply_linear,
}
"""Faster functions for some operators."""


def bind(argument: Any) -> BoundArgument:
    """Return a function that evaluates the stored `argument`; the inverse of `exporting.cut.encode`."""
    match argument:
        case {"value": str(name)}:
            return lambda values, _: values[name]
        case {"weight": str(name)}:
            return lambda _, weights: weights[name]
        case list():
            items = [bind(item) for item in argument]
            return lambda values, weights: [item(values, weights) for item in items]
        case {"float": str(text)}:
            constant: Any = float(text)
        case {"torch": str(name)}:
            constant = getattr(torch, name)
        case {"device": str(name)}:
            constant = torch.device(name)
        case _:
            constant = argument
    return lambda _values, _weights: constant
