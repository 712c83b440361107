"""Carries out one task: reads an input, loads, executes or frees a layer, and keeps the ledger. Imports torch."""

from __future__ import annotations

import ctypes
import math
import operator
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload import plan
from pytest_edgeload.engine.arena import arena
from pytest_edgeload.engine.ledger import Ledger
from pytest_edgeload.engine.readers import READERS, Reader
from pytest_edgeload.engine.readers.read import ReadReader
from pytest_edgeload.engine.tiles import ASKED, Begun, CompiledLayer, Weights
from pytest_edgeload.job import Job
from pytest_edgeload.networks.layer import Layer, Sample, TensorSpec
from pytest_edgeload.networks.store import SAMPLES, WEIGHTS, read_graph
from pytest_edgeload.networks.tile import (
    Rows,
    is_last,
    left_bytes,
    pages_bytes,
    span_bytes,
    specs,
    stretches,
    tile_bytes,
    tiling,
    working_bytes,
)
from pytest_edgeload.plan import Task

_IMAGE_NDIM = 4  # batch, channels, height, width
_LIBC = ctypes.CDLL(None)
_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class OpenNetwork:
    """A stored network that is ready to run: its layers compiled, its files open, none of its weights in memory."""

    def __init__(self, folder: Path, reader: str) -> None:
        self.network = read_graph(folder)
        self.layers = [CompiledLayer(layer) for layer in self.network.layers]
        self.weights = READERS[reader](folder / WEIGHTS)
        self._samples = ReadReader(folder / SAMPLES)
        weakref.finalize(self, _close, self.weights, self._samples)
        self._is_convolutional = any(layer.is_convolution for layer in self.network.layers)

    def load(self, layer: Layer, rows: Rows = None, into: memoryview | None = None) -> Weights:
        """Return the weights of a tile, as views into `into`, or into memory that goes back with the last of them."""
        tile = specs(layer, rows)
        weights = {spec.name: torch.empty(spec.shape, dtype=_dtype(spec)) for spec in tile if not spec.size_bytes}
        for offset, size_bytes in stretches(layer, rows):
            memory = self.weights.read(offset, size_bytes, into)
            for spec in tile:
                if offset <= spec.offset < offset + size_bytes and spec.size_bytes:
                    weights[spec.name] = _tensor(spec, memory, spec.offset - offset)
            if into is not None:
                into = into[pages_bytes(offset, size_bytes) :]
        return weights

    def load_asked(self, layer: Layer, values: Mapping[str, Any]) -> Weights:
        """Return the weights of an embedding, with only the rows that `values` ask for. Raises IndexError."""
        cut = tiling(layer)
        assert cut is not None  # or nothing could be asked for
        assert cut.ids is not None
        rows = torch.unique(values[cut.ids])
        asked = rows.tolist()
        if asked and not 0 <= asked[0] <= asked[-1] < cut.rows:
            raise IndexError(f"{layer.name}: rows {asked[0]} to {asked[-1]} are asked for, of {cut.rows}")
        found = torch.empty((len(asked), *cut.weight.shape[1:]), dtype=_dtype(cut.weight))
        position = 0
        for first, last in _runs(asked):
            spec = cut.slice((first, last))
            found[position : position + last - first] = self._read(spec)
            position += last - first
        return {**{spec.name: self._read(spec) for spec in cut.others(layer)}, cut.weight.name: found, ASKED: rows}

    def _read(self, spec: TensorSpec) -> torch.Tensor:
        memory = self.weights.read(spec.offset, spec.size_bytes) if spec.size_bytes else None
        return _tensor(spec, memory, 0)

    def drop(self, layer: Layer, rows: Rows) -> None:
        """Note that nobody refers to these weights any more."""
        for offset, size_bytes in stretches(layer, rows):
            self.weights.drop(offset, size_bytes)

    def sample(self, index: int) -> Sample:
        """Return the sample with this index, counted round and round."""
        return self.network.samples[index % len(self.network.samples)]

    def inputs(self, sample: int) -> dict[str, torch.Tensor]:
        """Return the inputs of the sample with this index by name; images with their channels last.

        Convolutions compute in that layout, and would otherwise bring each image into it and what they make of it back.
        """
        tensors = self.tensors(self.sample(sample).inputs)
        if self._is_convolutional:
            tensors = [_channels_last(tensor) for tensor in tensors]
        return dict(zip(self.network.inputs, tensors, strict=True))

    def tensors(self, specs: tuple[TensorSpec, ...]) -> list[torch.Tensor]:
        """Return tensors of the samples file."""
        reader = self._samples
        return [
            _tensor(spec, reader.read(spec.offset, spec.size_bytes) if spec.size_bytes else None, 0) for spec in specs
        ]


def _close(*readers: Reader) -> None:
    for reader in readers:
        reader.close()


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == _IMAGE_NDIM else tensor


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the numbers `rows`, which are in order, as ranges without gaps."""
    first = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i] != rows[i - 1] + 1:
            yield rows[first], rows[i - 1] + 1
            first = i


def _dtype(spec: TensorSpec) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return dtype


def _tensor(spec: TensorSpec, memory: memoryview | None, start: int) -> torch.Tensor:
    """Return the tensor that stands in `memory` from the byte `start` on; None for one of no bytes."""
    dtype = _dtype(spec)
    if memory is None:
        return torch.empty(spec.shape, dtype=dtype)
    count = spec.size_bytes // dtype.itemsize
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=start).view(spec.shape)


class Performer:
    """The state of a job: activations by request, weights by who loads them."""

    def __init__(self, job: Job) -> None:
        self._tasks = job.plan.tasks
        networks = [OpenNetwork(Path(folder), job.reader) for folder in job.networks]
        self._asked = job.requests
        self._requests = [(networks[asked.network], asked.sample) for asked in job.requests]
        self._values: list[dict[str, Any]] = [{} for _ in job.requests]
        self._begun = [Begun() for _ in job.requests]
        self._weights: dict[plan.Weights, Weights] = {}
        self._arena = arena(job.plan.arena_bytes) if job.plan.arena_bytes else None
        self.ledger = Ledger()
        self.ledger.hold("arena", job.plan.arena_bytes)
        self.notices = tuple(dict.fromkeys(n.weights.notice for n in networks if n.weights.notice))

    def perform(self, index: int) -> None:
        """Carry out the task with this index; returns when it is done."""
        task = self._tasks[index]
        r = task.request
        network, sample = self._requests[r]
        if task.layer is None:
            self.ledger.hold(r, network.network.input_bytes)
            self._values[r] = network.inputs(sample)
        elif task.kind == "load":
            self._load(task, task.layer, network)
        elif task.kind == "exec":
            self._execute(task, task.layer, network)
        else:
            layer = network.network.layers[task.layer]
            del self._weights[task.weights]
            network.drop(layer, task.rows)
            self.ledger.hold(task.weights, 0)
            if task.layer == len(network.layers) - 1 and is_last(layer, task.rows):
                # Weights are mappings of their own and gone already; malloc still keeps what the activations used.
                _LIBC.malloc_trim(0)

    def _load(self, task: Task, i: int, network: OpenNetwork) -> None:
        layer, rows = network.network.layers[i], task.rows
        if task.place is None or self._arena is None:
            self.ledger.hold(task.weights, tile_bytes(network.network, i, rows))
            into = None
        else:
            into = self._arena[task.place : task.place + span_bytes(layer, rows)]
        if rows == "asked":
            self._weights[task.weights] = network.load_asked(layer, self._values[task.request])
        else:
            self._weights[task.weights] = network.load(layer, rows, into)

    def _execute(self, task: Task, i: int, network: OpenNetwork) -> None:
        r, layer = task.request, network.network.layers[i]
        self.ledger.hold(r, working_bytes(layer, task.rows))
        with torch.inference_mode():
            network.layers[i].run(task.rows, self._values[r], self._weights[task.weights], self._begun[r])
        self.ledger.hold(r, left_bytes(layer, task.rows))

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
        self._begun[request] = Begun()
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
