"""A module without its weights, as the peers that run PyTorch's own modules start from. Imports torch.

It is stored rather than made anew: a factory takes the memory of the weights, and draws them.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

_FILE = "module.pt"


def store(module: nn.Module, _samples: object, folder: Path) -> None:
    """Write `module` into `folder`, its parameters and buffers on the device `meta`, where they have no memory."""
    torch.save(module.to("meta"), folder / _FILE)


def load(folder: Path) -> nn.Module:
    """Return the module that is stored in `folder`. Raises ValueError where more than modules would be made."""
    file = folder / _FILE
    kinds: list[Any] = [_kind(file, name) for name in torch.serialization.get_unsafe_globals_in_checkpoint(file)]
    with torch.serialization.safe_globals(kinds):
        module: Any = torch.load(file, weights_only=True)
    assert isinstance(module, nn.Module)
    return module


def _kind(file: Path, name: str) -> type[nn.Module]:
    """Return the class of modules that a file names. A cache is data: nothing else in it becomes a call."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError):  # of what is no module, or has no name
        found = None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(  # noqa: TRY004  # the file is at fault
            f"{file} names {name}, which is no kind of module; delete {file.parent} and it is made anew"
        )
    return found


def fill(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Let `module` hold `weights`, as they are."""
    # strict=False: what inference does not read, such as BatchNorm's counters, is not among the stored weights
    module.load_state_dict(weights, strict=False, assign=True)
