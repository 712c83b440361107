"""Plans: the tasks of a workload and what each waits for. Pure data and pure functions; no torch, file or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from pytest_edgeload.errors import Refusal
from pytest_edgeload.networks.layer import Layer, Network
from pytest_edgeload.workload import Workload

Kind = Literal["init", "load", "exec", "free"]
Order = Literal["created", "ready", "response-ratio"]

STAGES: tuple[Kind, ...] = ("load", "exec", "free")
"""What happens to a layer, in this order."""


STUCK = "the plan stops: tasks are left, none runs, and none can be taken"
"""Words for a plan whose tasks wait for each other's memory, or for requests that come only after them."""


class InvalidPlan(Refusal):
    """A plan that no engine could carry out; the message names the task and what it lacks."""


class Speeds(msgspec.Struct, frozen=True):
    """How fast weights are read and operators run, in bytes and floating-point operations a second."""

    read_bytes_per_s: float = 1e9
    flops_per_s: float = 5e10

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
    """What a policy may plan with: memory above the idle worker (None without a limit), lanes, and speeds."""

    memory_bytes: int | None = None
    lanes: int = 2
    speeds: Speeds = Speeds()


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of one request: init (read its input), or load, exec or free of one of its layers.

    `after` holds the indices of the tasks that must have ended; they are always smaller than the task's own. `lane` is
    the only lane that may run it (None: any). Of several ready tasks the least `priority` goes first. `reserve` bytes
    are set aside when the task is taken: by a load until its layer is freed, by an init until its request is done.
    """

    kind: Kind
    request: int
    layer: int | None = None
    after: tuple[int, ...] = ()
    lane: int | None = None
    priority: tuple[float, ...] = ()
    reserve: int = 0


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tasks in the order of their creation, the number of lanes that run them, and which ready one goes first.

    Among tasks of the same priority: `created`: the ready task that was created first; `ready`: the one that became
    ready first (a queue); `response-ratio`: that of the request with the highest (waited + `service_s`) / `service_s`.

    A task that reserves is taken when all reservations stay within `memory_bytes` (None: always), or nothing else is
    reserved. One that has to wait for memory may be passed over by `patience` others that reserve, and then by none.
    """

    tasks: tuple[Task, ...]
    lanes: int = 1
    order: Order = "created"
    memory_bytes: int | None = None
    patience: int | None = None
    service_s: tuple[float, ...] = ()


class Builder:
    """Collects the tasks of a workload's plan; `add` returns the index by which later tasks wait for this one.

    What a request with a condition waits for is added to its init, as the workload's way with conditions says.
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
    ) -> None:
        self._workload = workload
        self._tasks: list[Task] = []
        self._inits: dict[int, int] = {}
        self._answers: dict[int, int] = {}
        self._rest = (lanes, order, memory_bytes, patience, service_s)

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
    ) -> int:
        """Add a task that waits for `after`: one index, several, or None for nothing."""
        awaited = [after] if after is None or isinstance(after, int) else list(after)
        index = len(self._tasks)
        if kind == "init":
            self._inits[request] = self._answers[request] = index
            awaited.append(self._condition(request))
        elif kind == "exec":
            self._answers[request] = index
        waits = tuple(dict.fromkeys(i for i in awaited if i is not None))
        self._tasks.append(Task(kind, request, layer, waits, lane, priority, reserve))
        return index

    def _condition(self, request: int) -> int | None:
        """Return the task that the init of `request` waits for because of its condition."""
        when = self._workload.requests[request].when
        if when is None or self._workload.conditions == "ignore":
            return None
        return (self._answers if self._workload.conditions == "wait" else self._inits).get(when.request)

    def done(self) -> Plan:
        """Return the plan."""
        return Plan(tuple(self._tasks), *self._rest)


def check(plan: Plan, workload: Workload) -> None:
    """Raise InvalidPlan unless every request is answered exactly once, each task after what it needs.

    Each load comes after its request's init, each exec after its own load and the exec before it; each load is freed
    once, after its exec; a request with a condition waits as the workload says; no task waits for itself or a later
    one, so there is no cycle; and each may run on some lane. Whether reservations always find memory it cannot tell:
    the simulation and the worker notice a plan that stops.
    """
    _check_shape(plan, workload)
    index = {(task.kind, task.request, task.layer): i for i, task in enumerate(plan.tasks)}
    for i, task in enumerate(plan.tasks):
        for kind, request, layer in _needs(task, workload):
            if not _waits(plan.tasks, i, index[kind, request, layer]):
                raise InvalidPlan(f"{describe(i, task)} does not wait for the {kind} of {_place(request, layer)}")


def _check_shape(plan: Plan, workload: Workload) -> None:
    """Raise InvalidPlan unless the tasks are exactly those the workload needs, each waiting for earlier ones only."""
    if plan.lanes < 1:
        raise InvalidPlan(f"a plan needs at least one lane, not {plan.lanes}")
    if plan.order == "response-ratio" and len(plan.service_s) != len(workload.requests):
        raise InvalidPlan(
            f"the order response-ratio needs service_s for {len(workload.requests)} requests, not {len(plan.service_s)}"
        )
    for i, task in enumerate(plan.tasks):
        _check_task(i, task, plan.lanes)
    expected: Counter[tuple[str, int, int | None]] = Counter()
    for r, request in enumerate(workload.requests):
        expected["init", r, None] = 1
        expected.update((kind, r, i) for kind in STAGES for i in range(len(request.network.layers)))
    found: Counter[tuple[str, int, int | None]] = Counter((t.kind, t.request, t.layer) for t in plan.tasks)
    for (kind, r, layer), count in (expected - found).items():
        raise InvalidPlan(f"the plan lacks {count} {kind} of {_place(r, layer)}")
    for (kind, r, layer), count in (found - expected).items():
        raise InvalidPlan(f"the plan has {count} {kind} too many of {_place(r, layer)}")


def _check_task(i: int, task: Task, lanes: int) -> None:
    """Raise InvalidPlan unless the task waits for earlier ones, may run on some lane and reserves what it can."""
    for awaited in task.after:
        if not 0 <= awaited < i:
            raise InvalidPlan(f"{describe(i, task)} waits for task {awaited}, which is not an earlier one")
    if task.lane is not None and not 0 <= task.lane < lanes:
        raise InvalidPlan(f"{describe(i, task)} is for lane {task.lane}; there are lanes 0 to {lanes - 1}")
    if task.reserve < 0 or (task.reserve and task.kind in {"exec", "free"}):
        raise InvalidPlan(f"{describe(i, task)} reserves {task.reserve} bytes; only an init or a load can reserve")


def _needs(task: Task, workload: Workload) -> Sequence[tuple[Kind, int, int | None]]:
    """Return the tasks, as (kind, request, layer), that must have ended before `task` can run."""
    if task.kind == "init":
        when = workload.requests[task.request].when
        if when is None or workload.conditions == "ignore":
            return ()
        layers = len(workload.requests[when.request].network.layers)
        is_answered = workload.conditions == "wait" and layers > 0
        return (("exec", when.request, layers - 1) if is_answered else ("init", when.request, None),)
    if task.kind == "load" or task.layer is None:
        return (("init", task.request, None),)
    if task.kind == "exec":
        previous: tuple[Kind, int | None] = ("exec", task.layer - 1) if task.layer else ("init", None)
        return (("load", task.request, task.layer), (previous[0], task.request, previous[1]))
    return (("exec", task.request, task.layer),)


def _waits(tasks: Sequence[Task], waiting: int, awaited: int) -> bool:
    """Tell whether task `waiting` runs after task `awaited`, at once or through others."""
    to_see, seen = [waiting], {waiting}
    while to_see:
        after = tasks[to_see.pop()].after
        if awaited in after:
            return True
        new = {index for index in after if index > awaited} - seen  # what is before it cannot wait for it
        seen |= new
        to_see += new
    return False


def describe(index: int, task: Task) -> str:
    """Return words for a task: `task 7 (exec of request 0, layer 2)`."""
    return f"task {index} ({task.kind} of {_place(task.request, task.layer)})"


def _place(request: int, layer: int | None) -> str:
    return f"request {request}" + ("" if layer is None else f", layer {layer}")
