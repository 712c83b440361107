"""Stored ops become calls: operators are looked up by name, arguments bound to values and weights. Imports torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch

from pytest_edgeload.networks.layer import Layer, Op

Bound = Callable[[Mapping[str, Any], Mapping[str, torch.Tensor]], Any]


@dataclass(frozen=True, slots=True)
class Call:
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
        for name in self.drops:
            del values[name]


def compile_layer(layer: Layer) -> tuple[Call, ...]:
    """Return the calls of `layer`, in order. Raises LookupError for an operator this PyTorch does not have."""
    return tuple(_compile(op) for op in layer.ops)


def _compile(op: Op) -> Call:
    return Call(
        function=_find(op.target),
        args=tuple(bind(argument) for argument in op.args),
        kwargs=tuple((key, bind(argument)) for key, argument in op.kwargs.items()),
        output=op.output,
        drops=op.drops,
    )


def _find(target: str) -> Callable[..., Any]:
    if target == "getitem":
        return operator.getitem
    namespace, name, overload = target.split(".")
    try:
        function: Callable[..., Any] = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except AttributeError as error:
        raise LookupError(f"PyTorch {torch.__version__} has no operator {target}") from error
    return function


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
