"""Names for tensors that a module uses but has not registered, such as those of a model in a list. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

import torch

from pytest_edgeload.tensors import is_plain

_MAX_DEPTH = 12  # attributes, items and variables on the way to a tensor
_REGISTERED = ("_parameters", "_buffers", "_modules")


def names_of(module: torch.nn.Module) -> dict[int, str]:
    """Return the name of each tensor within reach of `module`, by the address of its data.

    A name is the way to the tensor: attributes, items of lists and dicts, and variables that a function encloses.
    """
    return {
        tensor.data_ptr(): name for name, tensor in reversed([*_tensors(module, "", set(), 0)]) if _has_data(tensor)
    }


def _has_data(tensor: torch.Tensor) -> bool:
    return type(tensor) in {torch.Tensor, torch.nn.Parameter} and is_plain(tensor) and tensor.nbytes > 0


def _tensors(value: Any, name: str, seen: set[int], depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors within reach of `value`, which has this name."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif depth < _MAX_DEPTH and id(value) not in seen:
        seen.add(id(value))
        for part, inner in _parts(value):
            yield from _tensors(inner, f"{name}.{part}" if name else part, seen, depth + 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values that are part of `value`."""
    if isinstance(value, torch.nn.Module):
        for group in _REGISTERED:
            yield from getattr(value, group).items()
        yield from ((name, inner) for name, inner in vars(value).items() if name not in _REGISTERED)
    elif isinstance(value, dict):
        yield from ((str(key), inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(i), inner) for i, inner in enumerate(value))
    elif isinstance(value, MethodType):
        yield from _parts(value.__self__)
    elif isinstance(value, FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # a variable that has no value yet
                continue
