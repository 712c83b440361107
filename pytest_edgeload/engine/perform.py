"""Performs one task: reads an input, loads, executes or frees a tile, and keeps the ledger. Imports torch."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.engine.compare import Deviation
from pytest_edgeload.engine.ledger import Ledger
from pytest_edgeload.engine.memory import arena, trim
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.steps import StepsOfRequest
from pytest_edgeload.engine.tied import TiedTensors
from pytest_edgeload.engine.tiles import LayerProgress, TileTensors
from pytest_edgeload.job import Job
from pytest_edgeload.networks.tile import REQUESTED, WHOLE, is_last, span_bytes, specs
from pytest_edgeload.planning.plan import Task, WeightKey
from pytest_edgeload.tensors import fed

_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class Performer:
    """The state of a job: the activations of each request, and the weights that are loaded."""

    def __init__(self, job: Job) -> None:
        self._tasks = job.plan.tasks
        networks = [OpenNetwork(Path(folder), job.reader) for folder in job.networks]
        self._conditions = [request.when for request in job.requests]
        self._feeds = [request.feeds for request in job.requests]
        self._requests = [(networks[request.network], request.sample) for request in job.requests]
        self._values: list[dict[str, Any]] = [{} for _ in job.requests]
        self._progress = [LayerProgress() for _ in job.requests]
        self.steps = [StepsOfRequest(networks[r.network], r.sample, r.steps) for r in job.requests]
        self._weights: dict[WeightKey, TileTensors] = {}
        self._tied = TiedTensors()
        self._arena = arena(job.plan.arena_bytes) if job.plan.arena_bytes else None
        networks_of = [network.network for network, _ in self._requests]
        self.ledger = Ledger(networks_of, job.plan.arena_bytes, [request.steps for request in job.requests])
        self.notices = tuple(dict.fromkeys(n.weights.notice for n in networks if n.weights.notice))

    def perform(self, index: int) -> None:
        """Perform the task with this index; return when it has ended."""
        task = self._tasks[index]
        network, sample = self._requests[task.request]
        self.ledger.begin(task)
        if task.layer is None:
            self._values[task.request] = self._inputs(task.request, network, sample)
            self.steps[task.request].begin(self._values[task.request])
        elif task.kind == "load":
            self._load(task, task.layer, network)
        elif task.kind == "exec":
            self._execute(task, task.layer, network)
        else:
            self._free(task, task.layer, network)
        self.ledger.end(task)

    def _inputs(self, r: int, network: OpenNetwork, sample: int) -> dict[str, Any]:
        """Return the inputs of a sample, with copies of the outputs that request `r` takes from earlier requests."""
        inputs = network.inputs(sample)
        for feed in self._feeds[r]:
            assert feed.request is not None  # as in all feeds of requests
            values = dict(self._values[feed.request])
            if values:  # another lane may have dropped that request meanwhile, and this one with it
                outputs = [values[name] for name in self._requests[feed.request][0].network.own_outputs]
                tensor = inputs[network.network.inputs[int(feed.input)]]
                with torch.inference_mode():
                    tensor.copy_(fed(feed, outputs, tensor))
        return inputs

    def _load(self, task: Task, i: int, network: OpenNetwork) -> None:
        layer = network.network.layers[i]
        if task.tile is REQUESTED:
            self._weights[task.weights] = network.load_requested(layer, self._values[task.request])
            return
        if task.place is not None and self._arena is not None:
            into = self._arena[task.place : task.place + span_bytes(layer, task.tile)]
            self._weights[task.weights] = network.load(layer, task.tile, into)
            return
        if task.tile is WHOLE:
            self._weights[task.weights] = network.load_whole(layer, task.weights, self._tied)
        else:
            self._weights[task.weights] = network.load(layer, task.tile)

    def _execute(self, task: Task, i: int, network: OpenNetwork) -> None:
        r = task.request
        with torch.inference_mode():
            layers = network.layers if self.steps[r].ends_s else network.first_layers
            layers[i].run(task.tile, self._values[r], self._weights[task.weights], self._progress[r])
            if i == len(network.layers) - 1 and is_last(network.network.layers[i], task.tile):
                self._end_step(r, network)

    def _end_step(self, r: int, network: OpenNetwork) -> None:
        """Give the outputs of a step of request `r` to the next one, if there is one."""
        values, step, stored = self._values[r], self.steps[r], network.network
        names = stored.outputs if step.ends_s else stored.first_outputs or stored.outputs
        outputs = [values[name] for name in names]
        inputs = step.end(outputs)
        self._values[r] = dict(zip(stored.own_outputs, outputs, strict=False) if inputs is None else inputs)

    def _free(self, task: Task, i: int, network: OpenNetwork) -> None:
        layer = network.network.layers[i]
        del self._weights[task.weights]
        self._tied.free(task.weights)
        owner, *_ = task.weights
        network.drop(weight for weight in specs(layer, task.tile) if not self._tied.holds(owner, weight))
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

    def compare(self, r: int) -> Deviation:
        """Return how far the outputs of request `r` are from plain PyTorch's."""
        network, _ = self._requests[r]
        return self.steps[r].compare([self._values[r][name] for name in network.network.own_outputs])

    def tolerance(self, r: int) -> float:
        """Return the largest output error that request `r` may have."""
        return self._requests[r][0].network.tolerance
