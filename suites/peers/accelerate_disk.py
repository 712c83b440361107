"""Hugging Face accelerate: weights stay on the disk, and each innermost module's come when it runs. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo  # accelerate's hooks import it when the first module runs, which would be on the clock
from accelerate import disk_offload
from accelerate.utils import offload_state_dict
from torch import nn

from pytest_edgeload import Answers, Job, Load, NetworkFiles, network_by_network
from suites.peers import skeleton

_FOLDER = "offload"


def offload(module: nn.Module, samples: object, folder: Path) -> None:
    """Write the weights of `module` as accelerate keeps them on the disk, and its skeleton."""
    offload_state_dict(folder / _FOLDER, module.state_dict())
    skeleton.store(module, samples, folder)


def program(job: Job) -> Callable[[], Answers]:
    """Let accelerate bring the weights of each module when it runs."""
    return network_by_network(job, _prepare)


def _prepare(network: NetworkFiles) -> Load:
    module = skeleton.load(network.files)

    def load() -> nn.Module:
        offloaded: nn.Module = disk_offload(
            module,
            network.files / _FOLDER,
            execution_device=torch.device("cpu"),
            offload_buffers=True,  # else they would have to be in memory from the start
        )
        return offloaded

    return load
