"""Plans: the tasks of a workload and what each waits for. Pure data and pure functions; no torch, file or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from pytest_edgeload.errors import Refusal
from pytest_edgeload.workload import Workload

Kind = Literal["init", "load", "exec", "free"]
Order = Literal["created", "ready"]

STAGES: tuple[Kind, ...] = ("load", "exec", "free")
"""What happens to a layer, in this order."""


class InvalidPlan(Refusal):
    """A plan that no engine could carry out; the message names the task and what it lacks."""


class Budget(msgspec.Struct, frozen=True):
    """What a policy may plan with: memory above the idle worker (None without a limit) and lanes."""

    memory_bytes: int | None = None
    lanes: int = 2


class Task(msgspec.Struct, frozen=True):
    """One step of one request: init (read its input), or load, exec or free of one of its layers.

    `after` holds the indices of the tasks that must have ended; they are always smaller than the task's own.
    """

    kind: Kind
    request: int
    layer: int | None = None
    after: tuple[int, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """Tasks in the order of their creation, the number of lanes that run them, and which ready one goes first.

    `created`: the ready task that was created first. `ready`: the task that became ready first (a queue).
    """

    tasks: tuple[Task, ...]
    lanes: int = 1
    order: Order = "created"


class Builder:
    """Collects tasks; `add` returns the index by which later tasks wait for this one."""

    def __init__(self, *, lanes: int = 1, order: Order = "created") -> None:
        self._tasks: list[Task] = []
        self._lanes = lanes
        self._order = order

    def add(
        self, kind: Kind, request: int, layer: int | None = None, *, after: int | Iterable[int | None] | None = None
    ) -> int:
        """Add a task that waits for `after`: one index, several, or None for nothing."""
        awaited = [after] if after is None or isinstance(after, int) else after
        self._tasks.append(Task(kind, request, layer, tuple(index for index in awaited if index is not None)))
        return len(self._tasks) - 1

    def done(self) -> Plan:
        """Return the plan."""
        return Plan(tuple(self._tasks), self._lanes, self._order)


def check(plan: Plan, workload: Workload) -> None:
    """Raise InvalidPlan unless every request is answered exactly once by an order of tasks that must work.

    Each exec comes after its own load, its request's init and the exec before it; each load is freed once, after its
    exec; no task waits for itself or a later one, so there is no cycle.
    """
    _check_shape(plan, workload)
    before = _ancestors(plan.tasks)
    index = {(task.kind, task.request, task.layer): i for i, task in enumerate(plan.tasks)}
    for i, task in enumerate(plan.tasks):
        for kind, layer in _needs(task):
            if not before[i] >> index[kind, task.request, layer] & 1:
                raise InvalidPlan(f"{describe(i, task)} does not wait for the {kind} of {_place(task.request, layer)}")


def _check_shape(plan: Plan, workload: Workload) -> None:
    """Raise InvalidPlan unless the tasks are exactly those the workload needs, each waiting for earlier ones only."""
    if plan.lanes < 1:
        raise InvalidPlan(f"a plan needs at least one lane, not {plan.lanes}")
    for i, task in enumerate(plan.tasks):
        for awaited in task.after:
            if not 0 <= awaited < i:
                raise InvalidPlan(f"{describe(i, task)} waits for task {awaited}, which is not an earlier one")
    expected: Counter[tuple[str, int, int | None]] = Counter()
    for r, request in enumerate(workload.requests):
        expected["init", r, None] = 1
        expected.update((kind, r, i) for kind in STAGES for i in range(len(request.network.layers)))
    found: Counter[tuple[str, int, int | None]] = Counter((t.kind, t.request, t.layer) for t in plan.tasks)
    for (kind, r, layer), count in (expected - found).items():
        raise InvalidPlan(f"the plan lacks {count} {kind} of {_place(r, layer)}")
    for (kind, r, layer), count in (found - expected).items():
        raise InvalidPlan(f"the plan has {count} {kind} too many of {_place(r, layer)}")


def _needs(task: Task) -> Sequence[tuple[Kind, int | None]]:
    """Return the tasks of the same request that must have ended before `task` can run."""
    if task.kind == "exec" and task.layer is not None:
        previous: tuple[Kind, int | None] = ("exec", task.layer - 1) if task.layer else ("init", None)
        return (("load", task.layer), previous)
    return (("exec", task.layer),) if task.kind == "free" else ()


def _ancestors(tasks: Sequence[Task]) -> list[int]:
    """Return for each task the set of all tasks before it, as the bits of an integer."""
    before: list[int] = []
    for task in tasks:
        bits = 0
        for awaited in task.after:
            bits |= before[awaited] | 1 << awaited
        before.append(bits)
    return before


def describe(index: int, task: Task) -> str:
    """Return words for a task: `task 7 (exec of request 0, layer 2)`."""
    return f"task {index} ({task.kind} of {_place(task.request, task.layer)})"


def _place(request: int, layer: int | None) -> str:
    return f"request {request}" + ("" if layer is None else f", layer {layer}")
