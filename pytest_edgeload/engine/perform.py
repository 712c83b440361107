"""Performs one task: reads an input, loads, executes or frees a tile, and keeps the ledger. Imports torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from pytest_edgeload.engine.compare import Deviation
from pytest_edgeload.engine.ledger import Ledger
from pytest_edgeload.engine.memory import arena, trim
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.steps import StepsOfRequest
from pytest_edgeload.engine.tied import TiedTensors
from pytest_edgeload.engine.tiles import LayerProgress, TileTensors
from pytest_edgeload.job import Job
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.tile import REQUESTED, WHOLE, is_last, span_bytes, specs
from pytest_edgeload.planning.plan import Task, WeightKey
from pytest_edgeload.tensors import fed
from pytest_edgeload.workload import Condition

_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request of an open network, for a stored sample or with the inputs that `inputs` returns by name.

    `report` is called with the outputs of each step, without the buffers that the module changes, and the performer
    does not keep them.
    """

    network: OpenNetwork
    sample: int = 0
    steps: int = 1
    when: Condition | None = None
    feeds: tuple[Feed, ...] = ()
    inputs: Callable[[], dict[str, torch.Tensor]] | None = None
    report: Callable[[Sequence[torch.Tensor]], None] | None = None


class Performer:
    """The activations of each request, and the weights that are loaded, by the tasks of a plan.

    Loads that have a place put their weights in `memory`, the plan's arena. The list of `tasks` may grow. If all would
    not fit in `memory_bytes` otherwise, malloc returns the memory of freed activations; see `Ledger`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        requests: Sequence[OpenRequest],
        memory: memoryview | None = None,
        arena_bytes: int = 0,
        memory_bytes: int | None = None,
        heap_bytes: int = 0,
    ) -> None:
        self._tasks = tasks
        self._requests: list[OpenRequest] = []
        self._values: list[dict[str, Any]] = []
        self._progress: list[LayerProgress] = []
        self.steps: list[StepsOfRequest] = []
        self._weights: dict[WeightKey, TileTensors] = {}
        self._tied = TiedTensors()
        self._arena = memory
        self.ledger = Ledger((), arena_bytes, memory_bytes=memory_bytes, heap_bytes=heap_bytes)
        for request in requests:
            self.add(request)
        networks = dict.fromkeys(r.network for r in requests)
        self.notices = tuple(dict.fromkeys(n.weights.notice for n in networks if n.weights.notice))

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the performer of a job, whose networks it opens."""
        networks = [OpenNetwork(Path(folder), job.reader, job.store) for folder in job.networks]
        requests = [OpenRequest(networks[r.network], r.sample, r.steps, r.when, r.feeds) for r in job.requests]
        arena_bytes = job.plan.arena_bytes
        return cls(job.plan.tasks, requests, arena(arena_bytes) if arena_bytes else None, arena_bytes)

    def add(self, request: OpenRequest) -> None:
        """Add a request, whose index is the next one."""
        self._requests.append(request)
        self._values.append({})
        self._progress.append(LayerProgress())
        self.steps.append(StepsOfRequest(request.network, request.sample, request.steps))
        self.ledger.add(request.network.network, request.steps)

    def perform(self, index: int) -> None:
        """Perform the task with this index; return when it has ended."""
        task = self._tasks[index]
        network = self._requests[task.request].network
        if self.ledger.begin(task):
            trim()
        if task.layer is None:
            self._values[task.request] = self._inputs(task.request)
            self.steps[task.request].begin(self._values[task.request])
        elif task.kind == "load":
            self._load(task, task.layer, network)
        elif task.kind == "exec":
            self._execute(task, task.layer, network)
        else:
            self._free(task, task.layer, network)
        self.ledger.end(task)
        if task.kind == "exec" and self._requests[task.request].report and self.steps[task.request].has_ended:
            self._values[task.request] = {}  # the caller has the outputs
            self.ledger.discard(task.request)

    def _inputs(self, r: int) -> dict[str, Any]:
        """Return the inputs of request `r`, with copies of the outputs that it takes from earlier requests."""
        request = self._requests[r]
        if request.inputs is not None:
            return request.inputs()
        network = request.network
        inputs = network.inputs(request.sample)
        for feed in request.feeds:
            assert feed.request is not None  # as in all feeds of requests
            values = dict(self._values[feed.request])
            if values:  # another lane may have dropped that request meanwhile, and this one with it
                outputs = [values[name] for name in self._requests[feed.request].network.network.own_outputs]
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
        report = self._requests[r].report
        if report is not None:
            report(outputs[: len(stored.own_outputs)])
        inputs = step.end(outputs)
        self._values[r] = dict(zip(stored.own_outputs, outputs, strict=False) if inputs is None else inputs)

    def _free(self, task: Task, i: int, network: OpenNetwork) -> None:
        layer = network.network.layers[i]
        self._weights.pop(task.weights, None)  # a load that failed left none
        self._tied.free(task.weights)
        owner, *_ = task.weights
        network.drop(weight for weight in specs(layer, task.tile) if not self._tied.holds(owner, weight))
        if i == len(network.layers) - 1 and is_last(layer, task.tile):
            trim()

    def holds(self, request: int) -> bool:
        """Return whether the condition of `request` holds on the outputs of the request that it refers to.

        NaN fails every comparison. Raises IndexError if the output does not have the part in the condition.
        """
        when = self._requests[request].when
        assert when is not None  # lanes evaluate no other requests
        names = self._requests[when.request].network.network.outputs
        part = self._values[when.request][names[when.output]][when.at]
        return bool(_COMPARISONS[when.comparison](part.max().item(), when.value))

    def discard(self, request: int) -> None:
        """Delete the values of `request`, which is dropped; none of its tasks runs any more."""
        self._values[request].clear()
        self._progress[request] = LayerProgress()
        self.ledger.discard(request)
        trim()

    def adopt(self, load: Task, tensors: TileTensors) -> None:
        """Hold `tensors`, which an earlier performer has loaded, as the weights of the task `load`."""
        network, i = self._requests[load.request].network, load.layer
        assert i is not None  # as in all loads
        shared = network.shared(network.network.layers[i]) if load.tile is WHOLE else []
        if self.ledger.begin(load):
            trim()
        tied = self._tied.load(load.weights, shared, lambda specs: {spec.name: tensors[spec.name] for spec in specs})
        self._weights[load.weights] = {**tensors, **tied}
        self.ledger.end(load)

    def free_arena(self) -> None:
        """Return the plan's arena to the system. No weights are loaded any more."""
        self._arena = None

    def release(self) -> Mapping[WeightKey, TileTensors]:
        """Return the weights that are loaded, and hold nothing any more."""
        weights, self._weights = self._weights, {}
        self._values, self._progress, self._tied = [], [], TiedTensors()
        return weights

    def values(self, r: int) -> dict[str, Any]:
        """Return the activations that request `r` holds now, by name."""
        return self._values[r]

    def compare(self, r: int) -> Deviation:
        """Return how far the outputs of request `r` are from plain PyTorch's."""
        network = self._requests[r].network.network
        return self.steps[r].compare([self._values[r][name] for name in network.own_outputs])

    def tolerance(self, r: int) -> float:
        """Return the largest output error that request `r` may have."""
        return self._requests[r].network.network.tolerance
