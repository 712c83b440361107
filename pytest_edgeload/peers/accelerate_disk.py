"""Hugging Face accelerate: keeps weights on the disk and loads those of a leaf module when it runs. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo  # accelerate's hooks would import it at the first module, on the clock
from accelerate import disk_offload
from accelerate.utils import offload_state_dict
from torch import nn

from pytest_edgeload.engine.program import Answers, Load, NetworkFiles, network_by_network
from pytest_edgeload.job import Job

_FOLDER = "offload"


def offload(module: nn.Module, _samples: object, folder: Path) -> None:
    """Write the weights of `module` in accelerate's disk format."""
    offload_state_dict(folder / _FOLDER, module.state_dict())


def program(job: Job) -> Callable[[], Answers]:
    """Load the weights of each module when it runs, with accelerate's hooks."""
    return network_by_network(job, _prepare)


def _prepare(network: NetworkFiles) -> Load:
    module = network.module()
    for name in network.state:
        owner, _, attribute = name.rpartition(".")
        # accelerate drops other buffers after each module, and with them the values that the next step needs
        module.get_submodule(owner)._non_persistent_buffers_set.add(attribute)  # noqa: SLF001  # no public way

    def load() -> nn.Module:
        offloaded: nn.Module = disk_offload(
            module,
            network.files / _FOLDER,
            execution_device=torch.device("cpu"),
            offload_buffers=True,  # else they are in memory from the start
        )
        return offloaded

    return load
