"""Skeletons: modules without their weights, which a worker fills from files. Imports torch.

One process of a session pickles the skeleton into the session's folder (`exporting.weightless`), and a worker of the
same session reads it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import nn

FILE: Final = "module.pickle"


def read(folder: Path) -> nn.Module:
    """Return the skeleton that this session has written into `folder`."""
    with (folder / FILE).open("rb") as file:
        module: nn.Module = pickle.load(file)  # noqa: S301  # a process of this session wrote it
    return module


def names_of_weights(module: nn.Module) -> list[tuple[str, ...]]:
    """Return all names of each parameter and buffer; a tied weight has several."""
    names: dict[int, list[str]] = {}
    tensors = (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    )
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    return [tuple(each) for each in names.values()]


def assign_weights(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """Let `weights`, by name, be the parameters and buffers of `module`, without copying them. Return the module.

    A tied weight needs only one of its names. Names that the module does not have are ignored, and parameters and
    buffers that are not in `weights` stay as they are.
    """
    for names in names_of_weights(module):
        tensor = next((weights[name] for name in names if name in weights), None)
        if tensor is not None:
            _assign(module, names, tensor)
    return module


def _assign(module: nn.Module, names: Iterable[str], tensor: torch.Tensor) -> None:
    value = None
    for name in names:
        owner, _, attribute = name.rpartition(".")
        part = module.get_submodule(owner)
        if value is None:
            is_parameter = attribute in part._parameters  # noqa: SLF001  # the only way to distinguish the two
            value = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
        setattr(part, attribute, value)
