"""Plans: the tasks of a workload and their dependencies. Pure data and pure functions; no torch, file or clock."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import msgspec
from msgspec.structs import force_setattr

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.decoding import Count, Seconds, decode
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.networks.layer import Layer, Network
from pytest_edgeload.networks.tile import REQUESTED, WHOLE, Tile
from pytest_edgeload.workload import Workload, awaited_requests

Kind = Literal["init", "load", "exec", "free"]
Order = Literal["created", "ready", "response-ratio", "deadline"]

STAGES: tuple[Kind, ...] = ("load", "exec", "free")
"""The tasks of a layer, in this order."""


DEADLINES_UNTIL_FIRST = 8
"""How many times its deadline a request may wait for more urgent ones, in the order `deadline`."""

STUCK = "the plan stops: tasks are left, none runs, and none can start"
"""The message for a plan whose tasks wait for each other's memory, or for requests that arrive after them."""


class InvalidPlan(Refusal):
    """A plan that no engine can carry out. The message names the task and the reason."""


class Speeds(msgspec.Struct, frozen=True):
    """The speeds at which weights are read and operators run, in bytes and floating-point operations per second.

    They describe an imagined device; only their ratio matters. With a server's two processors and disk, one byte of
    weights is read in the time of 20 (AlexNet) to 90 (VGG-19) operations.
    """

    read_bytes_per_s: float = 1e9
    flops_per_s: float = 4e10

    def __post_init__(self) -> None:
        """Raise ValueError unless both speeds are positive."""
        for name in ("read_bytes_per_s", "flops_per_s"):
            speed = arguments.number(name, getattr(self, name))
            if not speed > 0:
                raise BadArgument.of(name, speed, "not a speed", "give a positive number")
            force_setattr(self, name, speed)

    def load_s(self, layer: Layer) -> float:
        """Return the seconds that loading `layer` takes."""
        return layer.weight_bytes / self.read_bytes_per_s

    def exec_s(self, layer: Layer) -> float:
        """Return the seconds that executing `layer` takes."""
        return layer.flops / self.flops_per_s

    def service_s(self, network: Network) -> float:
        """Return the seconds that one request of `network` takes when nothing overlaps."""
        return sum(self.load_s(layer) + self.exec_s(layer) for layer in network.layers)


class Budget(msgspec.Struct, frozen=True):
    """Resources of a policy: memory above the idle worker (None without a limit), lanes, and speeds."""

    memory_bytes: int | None = None
    lanes: int = 2
    speeds: Speeds = Speeds()

    def __post_init__(self) -> None:
        """Raise ValueError unless memory and lanes are whole numbers."""
        memory_bytes = None if self.memory_bytes is None else arguments.whole("memory_bytes", self.memory_bytes, None)
        force_setattr(self, "memory_bytes", memory_bytes)
        force_setattr(self, "lanes", arguments.whole("lanes", self.lanes, 1))


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task of one request: init (read its input), or load, exec or free of one layer, or of a tile of it.

    `after` contains the indices of the tasks that must have ended; they are smaller than the task's own. `lane` is the
    only lane that may run the task (None: any). Of several ready tasks, the smallest `priority` goes first. `reserve`
    bytes are reserved when the task starts: by a load until its weights are freed, by an init until its request is
    done.

    A task in a loop waits for each task of `after` in its own step if that is in the loop, too, and for the tasks of
    `carried`, anywhere in the loop, in the step before its own.

    `tile` is the slice of the layer. An exec uses, and a free frees, the weights that the request `weights_of` of the
    same network loads (None: its own). A load with a `place` puts them that many bytes from the start of the plan's
    arena; without one, they get memory of their own, which is returned when they are freed.
    """

    kind: Kind
    request: int
    layer: int | None = None
    after: tuple[int, ...] = ()
    lane: int | None = None
    priority: tuple[float, ...] = ()
    reserve: int = 0
    tile: Tile = WHOLE
    weights_of: int | None = None
    place: int | None = None
    carried: tuple[int, ...] = ()

    @property
    def weights(self) -> WeightKey:
        """The weights that the task loads, uses or frees."""
        return (self.request if self.weights_of is None else self.weights_of, self.layer, self.tile)


WeightKey = tuple[int, int | None, Tile]
"""Weights of a plan: the request that loads them, the layer, and the tile."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A task as it ran: its index, lane and step; and when it was ready, started and ended, in seconds after `go`."""

    task: Count
    lane: Count
    ready_s: Seconds
    start_s: Seconds
    end_s: Seconds
    step: Count = 0


class TaskTotal(msgspec.Struct, frozen=True, array_like=True):
    """The runs of a task in the steps of a loop whose spans are not kept: how many, and their seconds in total.

    `waited_s` is the time that they were ready and waited for a lane. `end_s` is the end of the last of them.
    """

    task: Count
    runs: Count = 0
    busy_s: Seconds = 0.0
    waited_s: Seconds = 0.0
    end_s: Seconds = 0.0

    def with_span(self, span: Span) -> TaskTotal:
        """Return the total with one more run."""
        busy_s, waited_s = self.busy_s + span.end_s - span.start_s, self.waited_s + span.start_s - span.ready_s
        return TaskTotal(self.task, self.runs + 1, busy_s, waited_s, max(self.end_s, span.end_s))


class StepLoop(msgspec.Struct, frozen=True):
    """The tasks from index `first` up to `end`, which are repeated: all of them once in each of `steps` steps.

    Tasks that only requests with fewer steps need do not run in the later ones.
    Each step of a task waits for the step of the same task before it. Tasks outside of the loop wait for its last step.
    """

    first: int
    end: int
    steps: int

    def __contains__(self, index: object) -> bool:
        """Return whether the task with this index is repeated."""
        return isinstance(index, int) and self.first <= index < self.end


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tasks in the order of their creation, the number of lanes that run them, and the order of ready tasks.

    Among ready tasks of the same priority, `order` decides. `created`: the task that was created first goes first;
    `ready`: the task that became ready first (a queue); `response-ratio`: the task of the request with the highest
    (waited + `service_s`) / `service_s`; `deadline`: the task of the request that is due first, `deadlines_s` after its
    arrival, with exceptions for requests that cannot be in time or waited for too long; see `planning.urgency`.
    `service_s` has the expected time of each request alone.

    A task that reserves starts when all reservations stay within `memory_bytes` (None: always), or nothing else is
    reserved. A task that waits for memory may be passed over by `patience` other tasks that reserve, and then by none.

    `arena_bytes` of memory are taken once, for all loads that have a place in the arena. `loops` are in order and share
    no task.
    """

    tasks: tuple[Task, ...]
    lanes: int = 1
    order: Order = "created"
    memory_bytes: int | None = None
    patience: int | None = None
    service_s: tuple[float, ...] = ()
    arena_bytes: int = 0
    loops: tuple[StepLoop, ...] = ()
    deadlines_s: tuple[float, ...] = ()

    @property
    def loop_of(self) -> list[StepLoop | None]:
        """The loop of each task; None for a task that runs once."""
        found: list[StepLoop | None] = [None] * len(self.tasks)
        for loop in self.loops:
            found[loop.first : loop.end] = [loop] * (loop.end - loop.first)
        return found

    def shortened(self, max_steps: int) -> Plan:
        """Return the plan with at most `max_steps` steps in each loop."""
        loops = tuple(StepLoop(loop.first, loop.end, min(loop.steps, max_steps)) for loop in self.loops)
        return msgspec.structs.replace(self, loops=loops)


class LoopBuilder:
    """Collects the pairs of tasks of a loop of which the first waits for the second in the step before its own."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def carry(self, index: int, awaited: int) -> None:
        """Let the task `index` wait for the task `awaited` in the step before its own."""
        self.pairs.append((index, awaited))


class Builder:
    """Collects the tasks of the plan for `workload`. `add` returns the index with which later tasks wait for this one.

    The init of a request with a condition also waits for the task that the workload's `conditions` require, that of a
    request with feeds for the answers that it takes as inputs, and that of a request with a trigger for its answer.
    `lanes`, `order`, `memory_bytes`, `patience`, `service_s`, `arena_bytes` and `deadlines_s` are fields of the `Plan`.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        lanes: int = 1,
        order: Order = "created",
        memory_bytes: int | None = None,
        patience: int | None = None,
        service_s: tuple[float, ...] = (),
        arena_bytes: int = 0,
        deadlines_s: tuple[float, ...] = (),
    ) -> None:
        hint = "give the workload that the policy got; a Mix makes one by mix.workload(networks)"
        self._workload = arguments.instance("workload", workload, Workload, hint)
        self._tasks: list[Task] = []
        self._inits: dict[int, int] = {}
        self._answers: dict[int, int] = {}
        self._loops: list[StepLoop] = []
        self._rest = (lanes, order, memory_bytes, patience, service_s, arena_bytes)
        self._deadlines_s = deadlines_s

    def add(
        self,
        kind: Kind,
        request: int,
        layer: int | None = None,
        *,
        after: int | Iterable[int | None] | None = None,
        lane: int | None = None,
        priority: tuple[float, ...] = (),
        reserve: int = 0,
        tile: Tile = WHOLE,
        weights_of: int | None = None,
        place: int | None = None,
    ) -> int:
        """Add a task and return its index.

        `kind` is init, load, exec or free. `request` is the index of the request in the workload, and `layer` the index
        of the layer in its network; an init has no layer. The task waits for `after`: the index of another task,
        several indices, or None; None among several is ignored. `lane` is the only lane that may run the task (None:
        any). Of several ready tasks, the one with the smallest `priority` goes first. `reserve` bytes are reserved when
        the task starts: by a load until its weights are freed, by an init until its request is done. `tile` is the
        slice of the layer, by default the whole layer. An exec uses, and a free frees, the weights that the request
        `weights_of` of the same network loads (None: its own). A load puts its weights at `place`, in bytes from the
        start of the plan's arena (None: into memory of their own).
        """
        awaited = list(after) if isinstance(after, Iterable) else [after]
        index = len(self._tasks)
        if kind == "init":
            self._inits[request] = self._answers[request] = index
            awaited += (self._condition(request), *self._awaited(request))
        elif kind == "exec":
            self._answers[request] = index
        waits = tuple(dict.fromkeys(i for i in awaited if i is not None))
        self._tasks.append(Task(kind, request, layer, waits, lane, priority, reserve, tile, weights_of, place))
        return index

    @contextmanager
    def loop(self, steps: int, *, overlapping: bool = False) -> Iterator[LoopBuilder]:
        """Repeat the tasks that are added inside, `steps` times; a loop of one step is none.

        Each step begins when the one before it has ended. With `overlapping`, its tasks wait only for what they need:
        the first exec of a request, and the load of requested rows, for its last exec, which gives the inputs; and
        a load for the free of the same weights. The object that the loop yields lets them wait for more.
        """
        first, loop = len(self._tasks), LoopBuilder()
        yield loop
        if steps == 1 or first == len(self._tasks):
            return
        self._loops.append(StepLoop(first, len(self._tasks), steps))
        needs = needs_of_steps(self._tasks, first, len(self._tasks)) if overlapping else _barrier(self._tasks, first)
        for index, awaited in (*needs, *loop.pairs):
            task = self._tasks[index]
            if awaited != index and awaited not in task.carried:  # a task waits for its own step before anyway
                self._tasks[index] = msgspec.structs.replace(task, carried=(*task.carried, awaited))

    def _condition(self, request: int) -> int | None:
        """Return the task that the init of `request` waits for because of its condition."""
        when = self._workload.requests[request].when
        if when is None or self._workload.conditions == "ignore":
            return None
        return (self._answers if self._workload.conditions == "wait" else self._inits).get(when.request)

    def _awaited(self, request: int) -> list[int | None]:
        """Return the tasks that answer the earlier requests which feed or trigger `request`."""
        return [self._answers.get(source) for source in sorted(awaited_requests(self._workload.requests[request]))]

    def done(self, service_s: tuple[float, ...] = ()) -> Plan:
        """Return the plan; `service_s` replaces that of the builder, if it is known only now."""
        plan = Plan(tuple(self._tasks), *self._rest, tuple(self._loops), self._deadlines_s)
        return msgspec.structs.replace(plan, service_s=service_s) if service_s else plan


def _barrier(tasks: Sequence[Task], first: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of tasks from `first` on that let each step begin when the one before it has ended."""
    awaited = {index for task in tasks[first:] for index in task.after}
    last = [index for index in range(first, len(tasks)) if index not in awaited]
    for index in range(first, len(tasks)):
        if all(before < first for before in tasks[index].after):
            yield from ((index, end) for end in last)


def needs_of_steps(tasks: Sequence[Task], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of tasks from `first` up to `end` of which one needs the other in the step before its own.

    The first exec of a request, and the load of the rows that it looks up, need the outputs of its last exec. A load
    needs the free of the same weights.
    """
    own = [(index, tasks[index]) for index in range(first, end)]
    last_execs = {task.request: index for index, task in own if task.kind == "exec"}
    frees = {task.weights: index for index, task in own if task.kind == "free"}
    begun: set[int] = set()
    for index, task in own:
        if task.kind == "load" and task.weights in frees:
            yield index, frees[task.weights]
        begins = task.kind == "exec" and task.request not in begun
        if begins or (task.kind == "load" and task.tile is REQUESTED and task.request in last_execs):
            yield index, last_execs[task.request]
        if begins:
            begun.add(task.request)


def plain_plan(plan: object) -> Plan:
    """Return a plan with Python's own numbers, as a worker receives it. Raises InvalidPlan for any other value."""
    if not isinstance(plan, Plan):
        raise InvalidPlan("", f"returned {type(plan).__name__}, not a Plan", "let it end with `return plan.done()`")
    try:
        return decode(msgspec.json.encode(plan, enc_hook=_plain_number), Plan)
    except (ValueError, TypeError) as error:
        raise InvalidPlan("", f"returned a plan with other values: {error}", "give numbers") from None


def _plain_number(value: object) -> object:
    found = arguments.plain(value)
    if found is value:
        raise TypeError(f"{reprlib.repr(value)} is not a number")
    return found
