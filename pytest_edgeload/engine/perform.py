"""Carries out one task: reads an input, loads, executes or frees a layer, and keeps the ledger. Imports torch."""

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
from pytest_edgeload.networks.tile import REQUESTED, is_last, left_bytes, span_bytes, tile_bytes, working_bytes
from pytest_edgeload.planning import plan
from pytest_edgeload.planning.plan import Task

_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class Performer:
    """The state of a job: activations by request, weights by who loads them."""

    def __init__(self, job: Job) -> None:
        self._tasks = job.plan.tasks
        networks = [OpenNetwork(Path(folder), job.reader) for folder in job.networks]
        self._asked = job.requests
        self._requests = [(networks[asked.network], asked.sample) for asked in job.requests]
        self._values: list[dict[str, Any]] = [{} for _ in job.requests]
        self._progress = [LayerProgress() for _ in job.requests]
        self._weights: dict[plan.WeightKey, TileTensors] = {}
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
            network.drop(layer, task.tile)
            self.ledger.hold(task.weights, 0)
            if task.layer == len(network.layers) - 1 and is_last(layer, task.tile):
                trim()

    def _load(self, task: Task, i: int, network: OpenNetwork) -> None:
        layer, rows = network.network.layers[i], task.tile
        if task.place is None or self._arena is None:
            self.ledger.hold(task.weights, tile_bytes(network.network, i, rows))
            into = None
        else:
            into = self._arena[task.place : task.place + span_bytes(layer, rows)]
        if rows is REQUESTED:
            self._weights[task.weights] = network.load_asked(layer, self._values[task.request])
        else:
            self._weights[task.weights] = network.load(layer, rows, into)

    def _execute(self, task: Task, i: int, network: OpenNetwork) -> None:
        r, layer = task.request, network.network.layers[i]
        self.ledger.hold(r, working_bytes(layer, task.tile))
        with torch.inference_mode():
            network.layers[i].run(task.tile, self._values[r], self._weights[task.weights], self._progress[r])
        self.ledger.hold(r, left_bytes(layer, task.tile))

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
        self._progress[request] = LayerProgress()
        self.ledger.hold(request, 0)
        trim()

    def values(self, r: int) -> dict[str, Any]:
        """Return the activations that request `r` holds now, by name."""
        return self._values[r]

    def output_error(self, r: int) -> float | None:
        """Return how far the outputs of request `r` are from plain PyTorch's; see `job.Checked`."""
        network, sample = self._requests[r]
        due = network.tensors(network.sample(sample).outputs)
        found = [self._values[r][name] for name in network.network.outputs]
        return output_error(found, due)

    def tolerance(self, r: int) -> float:
        """Return how far the outputs of request `r` may be from plain PyTorch's."""
        return self._requests[r][0].network.tolerance


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
    if error and not due.is_floating_point():
        return max(error, 1.0)  # a whole number is right or wrong, however coarse the types it was computed in
    return error if math.isfinite(error) else None
