"""ONNX Runtime: opens a session for an ONNX model, or for a model in its own format. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
import torch
from torch import nn

from pytest_edgeload.engine.program import Answers, Forward, Load, NetworkFiles, by_position, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.networks.inputs import Inputs

_ONNX = "model.onnx"
_ORT = "model.ort"
_PROVIDERS = ["CPUExecutionProvider"]
_LEAN = ("session.disable_prepacking",)
_MAPPED = (*_LEAN, "session.use_memory_mapped_ort_model", "session.use_ort_model_bytes_for_initializers")


def export(module: nn.Module, samples: list[Inputs], folder: Path) -> None:
    """Write `module` as an ONNX model, with its weights in a separate file."""
    sample = samples[0]
    torch.onnx.export(module, sample.args, folder / _ONNX, kwargs=dict(sample.kwargs), external_data=True)


def convert(module: nn.Module, samples: list[Inputs], folder: Path) -> None:
    """Write `module` in ONNX Runtime's own format, optimized for no particular CPU."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.optimized_model_filepath = str(folder / _ORT)
    with TemporaryDirectory(dir=folder) as exported:
        export(module, samples, Path(exported))
        onnxruntime.InferenceSession(Path(exported) / _ONNX, options, providers=_PROVIDERS)


def default(job: Job) -> Callable[[], Answers]:
    """Open a session with default options, except for the number of threads."""
    return network_by_network(job, partial(_prepare, _ONNX, ()))


def lean(job: Job) -> Callable[[], Answers]:
    """Open a session that saves memory: it does not copy weights to a faster layout and does not keep freed memory."""
    return network_by_network(job, partial(_prepare, _ONNX, _LEAN))


def mapped(job: Job) -> Callable[[], Answers]:
    """Open a session that saves memory, maps its file, and uses the weights where they are in the file."""
    return network_by_network(job, partial(_prepare, _ORT, _MAPPED))


def _prepare(file: str, savings: tuple[str, ...], network: NetworkFiles) -> Load:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.threads
    options.enable_cpu_mem_arena = not savings
    for saving in savings:
        options.add_session_config_entry(saving, "1")

    def load() -> Forward:
        session = onnxruntime.InferenceSession(network.files / file, options, providers=_PROVIDERS)
        names = [argument.name for argument in session.get_inputs()]

        def forward(*inputs: torch.Tensor) -> list[torch.Tensor]:
            feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
            return [torch.from_numpy(output) for output in session.run(None, feed)]

        return by_position(forward)

    return load
