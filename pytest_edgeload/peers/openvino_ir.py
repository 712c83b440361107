"""OpenVINO: compiles a model of its own format for the CPU, with its file mapped or read. Imports torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from pytest_edgeload.engine.program import Answers, Forward, Load, NetworkFiles, by_position, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.networks.inputs import Inputs

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # a measured process sends no statistics
import openvino  # noqa: E402

_FILE = "model.xml"


def convert(module: nn.Module, samples: list[Inputs], folder: Path) -> None:
    """Write `module` in OpenVINO's format, by way of ONNX, with its weights as they are."""
    with TemporaryDirectory(dir=folder) as exported:
        file, sample = Path(exported) / "model.onnx", samples[0]
        torch.onnx.export(module, sample.args, file, kwargs=dict(sample.kwargs), external_data=True)
        openvino.save_model(openvino.Core().read_model(file), folder / _FILE, compress_to_fp16=False)


def mapped(job: Job) -> Callable[[], Answers]:
    """Map the file, which is OpenVINO's default."""
    return network_by_network(job, partial(_prepare, mmap=True))


def read(job: Job) -> Callable[[], Answers]:
    """Read the file into memory."""
    return network_by_network(job, partial(_prepare, mmap=False))


def _prepare(network: NetworkFiles, *, mmap: bool) -> Load:
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": mmap})
    # f32: on a CPU that has it, OpenVINO would compute in bfloat16, and its outputs would differ
    options = {"INFERENCE_NUM_THREADS": network.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}

    def load() -> Forward:
        compiled = core.compile_model(core.read_model(network.files / _FILE), "CPU", options)

        def forward(*inputs: torch.Tensor) -> list[torch.Tensor]:
            outputs = compiled([tensor.numpy() for tensor in inputs])
            return [torch.from_numpy(output) for output in outputs.to_tuple()]

        return by_position(forward)

    return load
