"""Fast readers of safetensors files: Run:ai's model streamer and fastsafetensors. Imports torch.

Each program imports its own reader, so that either can be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from pytest_edgeload.engine.program import Answers, Load, NetworkFiles, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.skeleton import assign_weights

_Read = Callable[[Sequence[Path]], Mapping[str, torch.Tensor]]


def runai(job: Job) -> Callable[[], Answers]:
    """Read with many threads into one buffer, which the tensors share."""
    from runai_model_streamer import SafetensorsStreamer  # noqa: PLC0415  # may be missing

    def read(files: Sequence[Path]) -> Mapping[str, torch.Tensor]:
        with SafetensorsStreamer() as streamer:
            streamer.stream_files([str(file) for file in files])
            return dict(streamer.get_tensors())

    return network_by_network(job, partial(_prepare, read))


def fastsafetensors(job: Job) -> Callable[[], Answers]:
    """Read the whole file in a few large pieces into one buffer, which the tensors share."""
    from fastsafetensors import SafeTensorsFileLoader, SingleGroup  # noqa: PLC0415  # may be missing

    def read(files: Sequence[Path]) -> Mapping[str, torch.Tensor]:
        loader = SafeTensorsFileLoader(SingleGroup(), "cpu", nogds=True)
        loader.add_filenames({0: [str(file) for file in files]})
        buffer = loader.copy_files_to_device()
        tensors = {name: buffer.get_tensor(name) for name in loader.get_keys()}
        buffer.close()
        loader.close()
        return tensors

    return network_by_network(job, partial(_prepare, read))


def _prepare(read: _Read, network: NetworkFiles) -> Load:
    module = network.module()

    def load() -> nn.Module:
        assign_weights(module, read(network.weights))
        return module

    return load
