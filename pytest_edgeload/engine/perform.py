"""Carries out one task: reads an input, loads, executes or frees a layer, and keeps the ledger. Imports torch."""

from __future__ import annotations

import ctypes
import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.engine.kernels import compile_layer
from pytest_edgeload.engine.ledger import Ledger
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.engine.readers.read import ReadReader
from pytest_edgeload.job import Job
from pytest_edgeload.networks.layer import Layer, Sample, TensorSpec
from pytest_edgeload.networks.store import SAMPLES, WEIGHTS, read_graph

_LIBC = ctypes.CDLL(None)
_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class OpenNetwork:
    """A stored network that is ready to run: its layers compiled, its files open, none of its weights in memory."""

    def __init__(self, folder: Path, reader: str) -> None:
        self.network = read_graph(folder)
        self.calls = [compile_layer(layer) for layer in self.network.layers]
        self._weights = READERS[reader](folder / WEIGHTS)
        self._samples = ReadReader(folder / SAMPLES)

    def load(self, layer: Layer) -> dict[str, torch.Tensor]:
        """Return the weights of `layer`, as views into memory that goes back to the system with the last of them."""
        weights: dict[str, torch.Tensor] = {}
        for offset, size_bytes in layer.extents:
            memory = self._weights.read(offset, size_bytes) if size_bytes else b""
            for spec in layer.weights:
                if offset <= spec.offset < offset + size_bytes or spec.size_bytes == 0:
                    weights[spec.name] = _tensor(spec, memory, spec.offset - offset)
        return weights

    def sample(self, index: int) -> Sample:
        """Return the sample with this index, counted round and round."""
        return self.network.samples[index % len(self.network.samples)]

    def tensors(self, specs: tuple[TensorSpec, ...]) -> list[torch.Tensor]:
        """Return tensors of the samples file."""
        return [
            _tensor(spec, self._samples.read(spec.offset, spec.size_bytes) if spec.size_bytes else b"", 0)
            for spec in specs
        ]


def _tensor(spec: TensorSpec, memory: Any, start: int) -> torch.Tensor:
    dtype = getattr(torch, spec.dtype)
    if spec.size_bytes == 0:
        return torch.empty(spec.shape, dtype=dtype)
    count = spec.size_bytes // dtype.itemsize
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=start).view(spec.shape)


class Performer:
    """The state of a job: activations by request, weights by request and layer."""

    def __init__(self, job: Job) -> None:
        self._tasks = job.plan.tasks
        networks = [OpenNetwork(Path(folder), job.reader) for folder in job.networks]
        self._asked = job.requests
        self._requests = [(networks[asked.network], asked.sample) for asked in job.requests]
        self._values: list[dict[str, Any]] = [{} for _ in job.requests]
        self._weights: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
        self.ledger = Ledger()

    def perform(self, index: int) -> None:
        """Carry out the task with this index; returns when it is done."""
        task = self._tasks[index]
        r, layer = task.request, task.layer
        network, sample = self._requests[r]
        if layer is None:
            specs = network.sample(sample).inputs
            self.ledger.hold(r, sum(spec.size_bytes for spec in specs))
            self._values[r] = dict(zip(network.network.inputs, network.tensors(specs), strict=True))
        elif task.kind == "load":
            self.ledger.hold((r, layer), network.network.layers[layer].weight_bytes)
            self._weights[r, layer] = network.load(network.network.layers[layer])
        elif task.kind == "exec":
            self.ledger.hold(r, network.network.layers[layer].activation_bytes)
            self._execute(r, layer)
            self.ledger.hold(r, network.network.layers[layer].carry_bytes)
        else:
            del self._weights[r, layer]
            self.ledger.hold((r, layer), 0)
            if layer == len(network.calls) - 1:
                # Weights are mappings of their own and gone already; malloc still keeps what the activations used.
                _LIBC.malloc_trim(0)

    def _execute(self, r: int, layer: int) -> None:
        network, _ = self._requests[r]
        values, weights = self._values[r], self._weights[r, layer]
        with torch.inference_mode():
            for call in network.calls[layer]:
                call(values, weights)

    def holds(self, request: int) -> bool:
        """Tell whether the condition of `request` holds, by the outputs of the request that it asks about.

        A part of an output that holds no number fails every comparison. Raises IndexError for a part that is not there.
        """
        when = self._asked[request].when
        assert when is not None  # nobody asks otherwise
        names = self._requests[when.request][0].network.outputs
        part = self._values[when.request][names[when.output]][when.at]
        return bool(_COMPARISONS[when.comparison](part.max().item(), when.value))

    def discard(self, request: int) -> None:
        """Forget what `request` has computed: it is dropped, and none of its tasks runs any more."""
        self._values[request].clear()
        self.ledger.hold(request, 0)
        _LIBC.malloc_trim(0)

    def values(self, r: int) -> dict[str, Any]:
        """Return the activations that request `r` holds now, by name."""
        return self._values[r]

    def output_error(self, r: int) -> float | None:
        """Return how far the outputs of request `r` are from plain PyTorch's; see `job.Checked`."""
        network, sample = self._requests[r]
        due = network.tensors(network.sample(sample).outputs)
        found = [self._values[r][name] for name in network.network.outputs]
        return output_error(found, due)


def output_error(found: Sequence[torch.Tensor], due: Sequence[torch.Tensor]) -> float | None:
    """Return how far outputs are from those that are due; see `job.Checked`."""
    if len(found) != len(due):
        return None
    errors = [_relative_error(f, d) for f, d in zip(found, due, strict=True)]
    return None if None in errors else max((e for e in errors if e is not None), default=0.0)


def _relative_error(found: torch.Tensor, due: torch.Tensor) -> float | None:
    """Return the largest difference relative to the largest value due; None where no number says it."""
    if found.shape != due.shape or found.dtype != due.dtype:
        return None
    if found.numel() == 0:
        return 0.0
    far = torch.where(found == due, 0.0, (found.double() - due.double()).abs())  # the same infinity is no difference
    scale = torch.where(due.isfinite(), due.double().abs(), 0.0).max().item()
    error = far.max().item() / (scale or 1.0)
    return error if math.isfinite(error) else None
