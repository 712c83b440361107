"""Performs one task: reads an input, loads, executes or frees a tile, and keeps the ledger. Imports torch."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.engine.ledger import Ledger
from pytest_edgeload.engine.memory import arena, trim
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.tiles import LayerProgress, TileTensors
from pytest_edgeload.job import Job
from pytest_edgeload.networks.tile import REQUESTED, is_last, span_bytes
from pytest_edgeload.planning.plan import Task, WeightKey

_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class Performer:
    """The state of a job: the activations of each request, and the weights that are loaded."""

    def __init__(self, job: Job) -> None:
        self._tasks = job.plan.tasks
        networks = [OpenNetwork(Path(folder), job.reader) for folder in job.networks]
        self._conditions = [request.when for request in job.requests]
        self._requests = [(networks[request.network], request.sample) for request in job.requests]
        self._values: list[dict[str, Any]] = [{} for _ in job.requests]
        self._progress = [LayerProgress() for _ in job.requests]
        self._weights: dict[WeightKey, TileTensors] = {}
        self._arena = arena(job.plan.arena_bytes) if job.plan.arena_bytes else None
        self.ledger = Ledger([network.network for network, _ in self._requests], job.plan.arena_bytes)
        self.notices = tuple(dict.fromkeys(n.weights.notice for n in networks if n.weights.notice))

    def perform(self, index: int) -> None:
        """Perform the task with this index; return when it has ended."""
        task = self._tasks[index]
        network, sample = self._requests[task.request]
        self.ledger.begin(task)
        if task.layer is None:
            self._values[task.request] = network.inputs(sample)
        elif task.kind == "load":
            self._load(task, task.layer, network)
        elif task.kind == "exec":
            self._execute(task, task.layer, network)
        else:
            self._free(task, task.layer, network)
        self.ledger.end(task)

    def _load(self, task: Task, i: int, network: OpenNetwork) -> None:
        layer = network.network.layers[i]
        if task.tile is REQUESTED:
            self._weights[task.weights] = network.load_requested(layer, self._values[task.request])
            return
        into = None
        if task.place is not None and self._arena is not None:
            into = self._arena[task.place : task.place + span_bytes(layer, task.tile)]
        self._weights[task.weights] = network.load(layer, task.tile, into)

    def _execute(self, task: Task, i: int, network: OpenNetwork) -> None:
        r = task.request
        with torch.inference_mode():
            network.layers[i].run(task.tile, self._values[r], self._weights[task.weights], self._progress[r])

    def _free(self, task: Task, i: int, network: OpenNetwork) -> None:
        layer = network.network.layers[i]
        del self._weights[task.weights]
        network.drop(layer, task.tile)
        if i == len(network.layers) - 1 and is_last(layer, task.tile):
            trim()

    def holds(self, request: int) -> bool:
        """Return whether the condition of `request` holds on the outputs of the request that it refers to.

        NaN fails every comparison. Raises IndexError if the output does not have the part in the condition.
        """
        when = self._conditions[request]
        assert when is not None  # lanes evaluate no other requests
        names = self._requests[when.request][0].network.outputs
        part = self._values[when.request][names[when.output]][when.at]
        return bool(_COMPARISONS[when.comparison](part.max().item(), when.value))

    def discard(self, request: int) -> None:
        """Delete the values of `request`, which is dropped; none of its tasks runs any more."""
        self._values[request].clear()
        self._progress[request] = LayerProgress()
        self.ledger.discard(request)
        trim()

    def values(self, r: int) -> dict[str, Any]:
        """Return the activations that request `r` holds now, by name."""
        return self._values[r]

    def output_error(self, r: int) -> float | None:
        """Return the output error of request `r`; see `job.Checked`."""
        network, sample = self._requests[r]
        expected = network.tensors(network.sample(sample).outputs)
        outputs = [self._values[r][name] for name in network.network.outputs]
        return output_error(outputs, expected)

    def tolerance(self, r: int) -> float:
        """Return the largest output error that request `r` may have."""
        return self._requests[r][0].network.tolerance


def output_error(outputs: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float | None:
    """Return the output error of `outputs`, given plain PyTorch's; see `job.Checked`."""
    if len(outputs) != len(expected):
        return None
    errors = [_relative_error(*pair) for pair in zip(outputs, expected, strict=True)]
    return None if None in errors else max((error for error in errors if error is not None), default=0.0)


def _relative_error(output: torch.Tensor, expected: torch.Tensor) -> float | None:
    """Return the largest difference relative to the largest expected value; None if no finite number expresses it."""
    if output.shape != expected.shape or output.dtype != expected.dtype:
        return None
    if output.numel() == 0:
        return 0.0
    differences = torch.where(output == expected, 0.0, (output.double() - expected.double()).abs())  # inf - inf is NaN
    scale = torch.where(expected.isfinite(), expected.double().abs(), 0.0).max().item()
    error = differences.max().item() / (scale or 1.0)
    if error and not expected.is_floating_point():
        return max(error, 1.0)  # an integer is right or wrong, even if coarse types computed it
    return error if math.isfinite(error) else None
