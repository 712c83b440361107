"""Skeletons: modules without weights, which peers that run PyTorch modules fill later. Imports torch.

A skeleton is stored rather than built by the factory, because a factory allocates and draws all weights.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

_FILE = "module.pt"


def store(module: nn.Module, _samples: object, folder: Path) -> None:
    """Write `module` to `folder` with its parameters and buffers on the device `meta`, which stores no data."""
    torch.save(module.to("meta"), folder / _FILE)


def load(folder: Path) -> nn.Module:
    """Return the module that is stored in `folder`. Raises ValueError if the file would create anything but modules."""
    file = folder / _FILE
    classes: list[Any] = [
        _module_class(file, name) for name in torch.serialization.get_unsafe_globals_in_checkpoint(file)
    ]
    with torch.serialization.safe_globals(classes):
        module: Any = torch.load(file, weights_only=True)
    assert isinstance(module, nn.Module)
    return module


def _module_class(file: Path, name: str) -> type[nn.Module]:
    """Return the module class `name`. Raises ValueError if it is anything else: a cached file must not run code."""
    module, _, attribute = name.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError):  # the name is empty or not in a module
        kind = None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(  # noqa: TRY004  # the file is at fault
            f"{file}: {name} is not a module class; delete {file.parent} to create it again"
        )
    return kind


def fill(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Assign `weights` to `module` without copying them."""
    # strict=False: stored weights lack tensors that inference does not read, such as BatchNorm's counters
    module.load_state_dict(weights, strict=False, assign=True)
