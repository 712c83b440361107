"""ONNX Runtime: opens a session for a model with its weights in a separate file. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
import torch
from torch import nn

from pytest_edgeload.engine.program import Answers, Forward, Load, NetworkFiles, network_by_network
from pytest_edgeload.job import Job

_FILE = "model.onnx"


def export(module: nn.Module, samples: list[tuple[torch.Tensor, ...]], folder: Path) -> None:
    """Write `module` as an ONNX model, with its weights in a separate file."""
    torch.onnx.export(module, samples[0], folder / _FILE, external_data=True)


def default(job: Job) -> Callable[[], Answers]:
    """Open a session with default options, except for the number of threads."""
    return network_by_network(job, partial(_prepare, lean=False))


def lean(job: Job) -> Callable[[], Answers]:
    """Open a session that saves memory: it does not copy weights to a faster layout and does not keep freed memory."""
    return network_by_network(job, partial(_prepare, lean=True))


def _prepare(network: NetworkFiles, *, lean: bool) -> Load:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.threads
    if lean:
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.disable_prepacking", "1")

    def load() -> Forward:
        session = onnxruntime.InferenceSession(network.files / _FILE, options, providers=["CPUExecutionProvider"])
        names = [argument.name for argument in session.get_inputs()]

        def forward(*inputs: torch.Tensor) -> list[torch.Tensor]:
            feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
            return [torch.from_numpy(output) for output in session.run(None, feed)]

        return forward

    return load
