"""Replace the operators of a program that a worker lacks, or refuse them by name. Imports torch.

A worker imports PyTorch and nothing else. So operators that another package registers are replaced by the operators
that their Python code calls, for instance those of a quantization by multiplications and roundings.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import msgspec
import torch
from torch.export import ExportedProgram

from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.exporting.ops import target_name

_MAX_LEVELS = 8  # operators of which the code of a replaced operator consists may be missing as well
_KERNELS = ("CompositeImplicitAutograd", "CompositeExplicitAutograd", "CPU")


def decomposed(program: ExportedProgram) -> ExportedProgram:
    """Return `program` in operators that a worker has. Raises CannotExport with the names of the others."""
    program = program.run_decompositions({})
    lacking = _lacking(program)
    for _ in range(_MAX_LEVELS):
        table = {operator: kernel for operator in lacking if (kernel := _python_kernel(operator)) is not None}
        if not table:
            break
        program = program.run_decompositions(table)
        before, lacking = lacking, _lacking(program)
        if lacking == before:
            break
    if lacking:
        raise CannotExport(
            ", ".join(map(str, lacking)),
            "not part of PyTorch, and a worker imports nothing else",
            "compute it with operators of PyTorch, or measure the model with edge.call",
        )
    return program


def _lacking(program: ExportedProgram) -> list[torch._ops.OpOverload]:
    """Return the operators of `program` that a worker lacks, without repetitions."""
    operators = {
        target_name(node.target): node.target
        for node in program.graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001  # the class has no public name
    }
    return [operators[name] for name in missing_in_worker(operators)]


def missing_in_worker(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the operators that a worker lacks. All workers have those of ATen."""
    others = tuple(sorted(name for name in names if not name.startswith("aten.")))
    return _ask_worker(others) if others else ()


@cache
def _ask_worker(names: tuple[str, ...]) -> tuple[str, ...]:
    command = [sys.executable, "-P", "-m", "pytest_edgeload.engine.operators"]
    answer = subprocess.run(command, input=msgspec.json.encode(names), stdout=subprocess.PIPE, check=True).stdout
    return msgspec.json.decode(answer, type=tuple[str, ...])


def _python_kernel(operator: torch._ops.OpOverload) -> Callable[..., Any] | None:
    """Return a function that calls the Python code of `operator`, or None if it has none.

    Compiled code cannot be traced: it would read the memory of tensors that have none.
    """
    overload = "" if operator._overloadname == "default" else f".{operator._overloadname}"  # noqa: SLF001
    name = f"{operator.namespace}/{operator._opname}{overload}"  # noqa: SLF001
    key = next((key for key in _KERNELS if f"{name}/{key}" in torch.library._impls), None)  # noqa: SLF001
    if key is None:
        return None
    dispatch_key = getattr(torch._C.DispatchKey, key)  # noqa: SLF001

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return operator._op_dk(dispatch_key, *args, **kwargs)  # noqa: SLF001
        except Exception:  # noqa: BLE001  # such code may do anything; the operator then stays as it is
            return NotImplemented

    return call
