"""LiteRT: interprets a TensorFlow Lite model, whose operators XNNPACK computes. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from pytest_edgeload.engine.program import Answers, Forward, Load, NetworkFiles, network_by_network
from pytest_edgeload.job import Job
from pytest_edgeload.networks.inputs import Inputs

_FILE = "model.tflite"


def convert(module: nn.Module, samples: list[Inputs], folder: Path) -> None:
    """Write `module` as a TensorFlow Lite model."""
    import litert_torch  # noqa: PLC0415  # a worker needs no converter

    litert_torch.convert(module, samples[0].args, dict(samples[0].kwargs)).export(str(folder / _FILE))


def program(job: Job) -> Callable[[], Answers]:
    """Load each network's model from its file, which LiteRT maps."""
    return network_by_network(job, _prepare)


def _prepare(network: NetworkFiles) -> Load:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    def load() -> Forward:
        interpreter = Interpreter(str(network.files / _FILE), num_threads=network.threads)
        run = interpreter.get_signature_runner()

        def forward(*args: torch.Tensor, **kwargs: torch.Tensor) -> list[torch.Tensor]:
            inputs = {f"args_{n}": tensor for n, tensor in enumerate(args)} | kwargs
            outputs = run(**{name: tensor.numpy() for name, tensor in inputs.items()})
            return [torch.from_numpy(outputs[f"output_{n}"]) for n in range(len(outputs))]

        return forward

    return load
