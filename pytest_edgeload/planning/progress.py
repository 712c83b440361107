"""The tasks and requests of a plan while it is carried out, without those that are over. Pure; no torch or clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_edgeload.planning.plan import StepLoop, Task, WeightKey


@dataclass(slots=True, eq=False)
class TaskState:
    """A task that has not ended: it runs in `steps` steps of its loop, and a request needs it in the first `runs`.

    `done` steps have ended. The next one waits for `waiting` events; `followers` are the tasks that wait for this one.
    """

    index: int
    task: Task
    loop: StepLoop | None
    steps: int
    runs: int
    done: int = 0
    waiting: int = 0
    followers: list[TaskState] = field(default_factory=list)
    ready_s: float = 0.0


@dataclass(slots=True, eq=False)
class RequestState:
    """A request, and how much of it is left: of all its tasks, and of those up to its answer.

    `decided` are the requests whose conditions depend on it, and `dependents` those that are dropped with it. `turn_s`
    is the time at which its init was ready.
    """

    steps: int = 1
    stream: str | None = None
    queue: int | None = None
    service_s: float = 0.0
    deadline_s: float = 0.0
    has_begun: bool = True
    is_answered: bool = False
    left: int = 0
    left_until_answer: int = 0
    arrived_s: float | None = None
    turn_s: float | None = None
    inits: list[TaskState] = field(default_factory=list)
    decided: list[int] = field(default_factory=list)
    dependents: list[int] = field(default_factory=list)


class Uses:
    """The requests that still need the weights of a plan."""

    def __init__(self) -> None:
        self._users: dict[WeightKey, set[int]] = {}
        self._to_free: set[WeightKey] = set()

    def add(self, tasks: Iterable[Task]) -> None:
        """Add the tasks of a plan."""
        for task in tasks:
            if task.kind == "exec":
                self._users.setdefault(task.weights, set()).add(task.request)
            elif task.kind == "free":
                self._to_free.add(task.weights)

    def end(self, task: Task) -> None:
        """Forget the weights that a task has freed, or that its request needs them."""
        if task.kind == "exec":
            self._users[task.weights].discard(task.request)
        elif task.kind == "free":
            self._users.pop(task.weights, None)
            self._to_free.discard(task.weights)

    def may_grow(self, weights: WeightKey) -> bool:
        """Return whether a request to come may use these weights, because no task frees them so far."""
        return weights not in self._to_free

    def needed_by(self, task: Task) -> Iterable[int]:
        """Return the requests that need `task`. Weights that one request loads may be used by others."""
        if task.kind in {"load", "free"}:
            return self._users.get(task.weights) or (task.request,)
        return (task.request,)


def loops_of(count: int, first: int, loops: Sequence[StepLoop]) -> list[StepLoop | None]:
    """Return the loop of each of `count` tasks from index `first` on; None for a task that runs once."""
    found: list[StepLoop | None] = [None] * count
    for loop in loops:
        found[loop.first - first : loop.end - first] = [loop] * (loop.end - loop.first)
    return found
