"""Stored ops become calls: operators are looked up by name, arguments bound to values and weights. Imports torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812  # as all the world calls it

from pytest_edgeload.engine import lean_torch
from pytest_edgeload.networks.layer import Op

Bound = Callable[[Mapping[str, Any], Mapping[str, torch.Tensor]], Any]


@dataclass(frozen=True, slots=True)
class OpCall:
    """One op, ready to run: call it, store its output, drop what nobody needs any more."""

    function: Callable[..., Any]
    args: tuple[Bound, ...]
    kwargs: tuple[tuple[str, Bound], ...]
    output: str
    drops: tuple[str, ...]

    def __call__(self, values: MutableMapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        """Run on `values` and `weights`, by name; changes `values`."""
        values[self.output] = self.function(
            *[bound(values, weights) for bound in self.args],
            **{key: bound(values, weights) for key, bound in self.kwargs},
        )
        self.drop(values)

    def drop(self, values: MutableMapping[str, Any]) -> None:
        """Drop what nobody needs after this op."""
        for name in self.drops:
            del values[name]


def compile_op(op: Op) -> OpCall:
    """Return `op` ready to run. Raises LookupError for an operator this PyTorch does not have."""
    return OpCall(
        function=_FASTER.get(op.target) or _find(op.target),
        args=tuple(bind(argument) for argument in op.args),
        kwargs=tuple((key, bind(argument)) for key, argument in op.kwargs.items()),
        output=op.output,
        drops=op.drops,
    )


def _find(target: str) -> Callable[..., Any]:
    if target == "getitem":
        return operator.getitem
    namespace, name, overload = target.split(".")
    if namespace != "aten":
        lean_torch.whole()  # which registers some
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
    """Return conv2d; where the kernel covers the whole image there is one sum for each channel, so a matrix product.

    PyTorch would bring the weights into the layout of its convolutions first, which takes longer than the sums.
    """
    covers = x.shape[-2:] == weight.shape[-2:] and x.ndim == weight.ndim
    if covers and groups == 1 and not any(padding) and all(step == 1 for step in dilation):
        return F.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


_FASTER: Mapping[str, Callable[..., Any]] = {"aten.conv2d.default": convolve}
"""What we compute in a better way than the operator itself."""


def bind(argument: Any) -> Bound:
    """Return the function that gives the stored `argument` its meaning; the inverse of `export.encode`."""
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
