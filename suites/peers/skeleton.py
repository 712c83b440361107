"""A module without its weights, as the peers that run PyTorch's own modules start from. Imports torch.

It is stored rather than made anew: a factory takes the memory of the weights, and draws them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

_FILE = "module.pt"


def store(module: nn.Module, _samples: object, folder: Path) -> None:
    """Write `module` into `folder`, its parameters and buffers on the device `meta`, where they have no memory."""
    torch.save(module.to("meta"), folder / _FILE)


def load(folder: Path) -> nn.Module:
    """Return the module that is stored in `folder`."""
    module: Any = torch.load(folder / _FILE, weights_only=False)
    assert isinstance(module, nn.Module)
    return module


def fill(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Let `module` hold `weights`, as they are."""
    # strict=False: what inference does not read, such as BatchNorm's counters, is not among the stored weights
    module.load_state_dict(weights, strict=False, assign=True)
