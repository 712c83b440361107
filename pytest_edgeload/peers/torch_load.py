"""Plain PyTorch: weights of `torch.save`, loaded in the three ways of PyTorch's manual. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from pytest_edgeload.engine.program import Answers, Load, NetworkFiles, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.skeleton import assign_weights, names_of_weights

_FILE = "weights.pt"


def save(module: nn.Module, _samples: object, folder: Path) -> None:
    """Write the weights of `module` with `torch.save`."""
    torch.save(module.state_dict(), folder / _FILE)


def copied(job: Job) -> Callable[[], Answers]:
    """Allocate the module's weights, load the file next to them, and copy."""
    return network_by_network(job, partial(_prepare, _copy))


def assigned(job: Job) -> Callable[[], Answers]:
    """Load the weights, and assign the loaded tensors to the module."""
    return network_by_network(job, partial(_prepare, _assign))


def mapped(job: Job) -> Callable[[], Answers]:
    """Map the file into memory, and assign the mapped tensors to the module."""
    return network_by_network(job, partial(_prepare, _map))


def _prepare(load: Callable[[nn.Module, Path], object], network: NetworkFiles) -> Load:
    module = network.module()

    def loaded() -> nn.Module:
        load(module, network.files / _FILE)
        return module

    return loaded


def _copy(module: nn.Module, file: Path) -> None:
    # not to_empty(), which imports sympy for a module on `meta`: half a second that an ordinary module does not cost
    tensors = module.state_dict()
    names = (each[0] for each in names_of_weights(module) if each[0] in tensors)
    assign_weights(module, {name: torch.empty_like(tensors[name], device="cpu") for name in names})
    del tensors
    module.load_state_dict(_state(file))


def _assign(module: nn.Module, file: Path) -> None:
    module.load_state_dict(_state(file), assign=True)


def _map(module: nn.Module, file: Path) -> None:
    module.load_state_dict(_state(file, mmap=True), assign=True)


def _state(file: Path, *, mmap: bool = False) -> Mapping[str, torch.Tensor]:
    state: Mapping[str, torch.Tensor] = torch.load(file, weights_only=True, mmap=mmap)
    return state
