"""Compiles stored ops into one Python function. Imports torch.

A step of a decoder has a thousand ops on a few numbers each. To look up the function and the arguments of each in
dictionaries takes as long as the smallest of them; a function keeps its values in local variables instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from pytest_edgeload.engine.kernels import bind, find_function, refers
from pytest_edgeload.networks.layer import Op

Run = Callable[[MutableMapping[str, Any], Mapping[str, torch.Tensor]], None]
"""Executes ops on values and weights, both by name; changes the values."""


def compile_ops(ops: Sequence[Op]) -> Run:
    """Return a function that executes `ops` in order. Raises LookupError if this PyTorch lacks an operator."""
    writer = _Writer({name for op in ops for name in op.drops})
    for op in ops:
        writer.add(op)
    run: Run = _maker(writer.source())(*writer.constants)
    return run


@lru_cache(maxsize=256)
def _maker(source: str) -> Callable[..., Run]:
    """Return the function `make` in `source`; layers that differ only in names and constants share its code."""
    namespace: dict[str, Any] = {}
    exec(compile(source, "<ops>", "exec"), namespace)  # noqa: S102  # contains numbered variables alone, no stored text
    make: Callable[..., Run] = namespace["make"]
    return make


class _Writer:
    """The lines of a function, and the constants that they refer to as c0, c1 and so on."""

    def __init__(self, dropped: Iterable[str]) -> None:
        self._dropped = frozenset(dropped)
        self._lines: list[str] = []
        self._variables: dict[str, str] = {}  # of the values by name
        self._outputs: set[str] = set()
        self._count = 0
        self.constants: list[Any] = []

    def source(self) -> str:
        """Return the source of a function `make` that takes the constants and returns the function."""
        kept = [f"values[{self._constant(name)}] = {self._variables[name]}" for name in sorted(self._outputs)]
        body = "".join(f"        {line}\n" for line in [*self._lines, *kept] or ["pass"])
        names = ", ".join(f"c{i}" for i in range(len(self.constants)))
        return f"def make({names}):\n    def run(values, weights):\n{body}    return run\n"

    def add(self, op: Op) -> None:
        """Add the lines of an op: its call, and the deletion of the values that no later op needs."""
        arguments = [self._expression(argument) for argument in op.args]
        arguments += [f"**{{{self._constant(key)}: {self._expression(value)}}}" for key, value in op.kwargs.items()]
        call = f"{self._constant(find_function(op.target))}({', '.join(arguments)})"
        self._lines.append(f"{self._variable(op.output)} = {call}")
        self._outputs.add(op.output)
        for name in op.drops:
            variable = self._variables.pop(name, None)
            self._lines.append(f"del {variable or f'values[{self._constant(name)}]'}")
            self._outputs.discard(name)

    def _expression(self, argument: Any) -> str:
        """Return an expression for a stored argument."""
        match argument:
            case {"value": str(name)}:
                return self._variables.get(name) or self._read(name)
            case {"weight": str(name)}:
                return f"weights[{self._constant(name)}]"
            case list() if refers(argument):
                return f"[{', '.join(self._expression(item) for item in argument)}]"
        return self._constant(bind(argument)({}, {}))

    def _read(self, name: str) -> str:
        """Return a variable for a value of an earlier layer; it takes over a value that is dropped here."""
        key, variable = self._constant(name), self._variable(name)
        self._lines.append(
            f"{variable} = values.pop({key})" if name in self._dropped else f"{variable} = values[{key}]"
        )
        return variable

    def _variable(self, name: str) -> str:
        if name not in self._variables:
            self._variables[name] = f"v{self._count}"
            self._count += 1
        return self._variables[name]

    def _constant(self, value: Any) -> str:
        self.constants.append(value)
        return f"c{len(self.constants) - 1}"
