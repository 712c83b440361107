"""The tasks, weights and requests of a plan while it is carried out. Pure; no torch or clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_edgeload.planning.plan import StepLoop, Task


@dataclass(slots=True, eq=False)
class RequestState:
    """A request, and how much of it is left: of all its tasks, and of those up to its answer.

    `decided` are the requests whose conditions depend on it, and `dependents` those that are dropped with it. `turn_s`
    is the time at which its init was ready. Requests with the same `network` ask the same one. Its init holds
    `reserved_bytes`, None if it has reserved nothing.
    """

    index: int
    steps: int = 1
    stream: str | None = None
    queue: int | None = None
    network: int | None = None
    service_s: float = 0.0
    deadline_s: float = 0.0
    has_begun: bool = True
    is_answered: bool = False
    is_dropped: bool = False
    is_overrun: bool = False
    left: int = 0
    left_until_answer: int = 0
    arrived_s: float | None = None
    turn_s: float | None = None
    reserved_bytes: int | None = None
    inits: list[TaskState] = field(default_factory=list)
    decided: list[int] = field(default_factory=list)
    dependents: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class WeightState:
    """Weights of a plan: the requests that are still to be executed with them, and whether a task frees them.

    Their load holds `reserved_bytes`, None if it has reserved nothing.
    """

    users: set[RequestState] = field(default_factory=set)
    has_free: bool = False
    is_loaded: bool = False
    reserved_bytes: int | None = None


@dataclass(slots=True, eq=False)
class LoopLinks:
    """The tasks of the same loop that a task waits for, and those that wait for it.

    Its step waits for the same step of `after` and for the step before of `carried`; the same step of `same` and the
    next one of `later` wait for it.
    """

    after: list[TaskState] = field(default_factory=list)
    carried: list[TaskState] = field(default_factory=list)
    same: list[TaskState] = field(default_factory=list)
    later: list[TaskState] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class TaskState:
    """A task that has not ended: it runs in `steps` steps of its loop, and a request needs it in the first `runs`.

    `weights` are those that it loads, uses or frees. `done` steps have ended. The next one waits for `waiting` events;
    `followers` are the tasks outside the loop that wait for this one. `successor` is the exec of the loop that can
    follow at once on the same lane: it waits for this exec alone, and is the only task that does.
    """

    index: int
    task: Task
    request: RequestState
    weights: WeightState | None = None
    loop: StepLoop | None = None
    steps: int = 1
    runs: int = 1
    done: int = 0
    waiting: int = 0
    ready_s: float = 0.0
    followers: list[TaskState] = field(default_factory=list)
    links: LoopLinks | None = None
    successor: TaskState | None = None

    def link(self, awaited: TaskState, *, is_carried: bool = False) -> None:
        """Wait for another task: outside a loop for its end, and in the same loop for its step, or the one before."""
        if self.links is None or awaited.links is None or awaited.loop is not self.loop:
            awaited.followers.append(self)
            self.waiting += 1
        elif is_carried:
            self.links.carried.append(awaited)
            awaited.links.later.append(self)
        else:
            self.links.after.append(awaited)
            awaited.links.same.append(self)
            self.waiting += 1

    def find_successor(self) -> TaskState | None:
        """Return the `successor`, when all tasks of the loop are linked."""
        if self.links is None or len(self.links.same) != 1 or self.links.later:
            return None
        [other] = self.links.same
        is_alone = other.links is not None and other.links.after == [self] and not other.links.carried
        is_on_lane = self.task.lane is not None and self.task.lane == other.task.lane
        return other if is_alone and is_on_lane and self.task.kind == other.task.kind == "exec" else None

    def forget(self) -> None:
        """Forget all other tasks: those of a loop wait for each other, which is a cycle of references."""
        self.followers, self.links, self.successor = [], None, None

    def met(self) -> list[TaskState]:
        """Return the tasks whose next step has waited for the step of this one that has just ended."""
        met = [*self.followers] if self.done == self.steps else []
        if self.links is not None:
            met += [each for each in self.links.same if each.done + 1 == self.done]
            met += [each for each in self.links.later if each.done == self.done]
        return met

    def unmet(self) -> int:
        """Return how many tasks the step that comes next, and is not the first, still waits for."""
        assert self.links is not None  # only a task of a loop has a second step
        own = [None for each in self.links.after if each.done <= self.done]
        return len(own) + len([None for each in self.links.carried if each.done < self.done])

    @property
    def is_void(self) -> bool:
        """Whether the task need not run: the requests that need it are dropped or done, and it frees no memory.

        A load runs if no task frees the weights so far, because a later request may use them.
        """
        if self.weights is None or self.task.kind == "exec":
            return not self._is_needed_by((self.request,))
        if self._is_needed_by(self.weights.users or (self.request,)):
            return False
        return self.weights.has_free if self.task.kind == "load" else not self.weights.is_loaded

    def _is_needed_by(self, requests: Iterable[RequestState]) -> bool:
        return any(not request.is_dropped and self.done < request.steps for request in requests)


def loops_of(count: int, first: int, loops: Sequence[StepLoop]) -> list[StepLoop | None]:
    """Return the loop of each of `count` tasks from index `first` on; None for a task that runs once."""
    found: list[StepLoop | None] = [None] * count
    for loop in loops:
        found[loop.first - first : loop.end - first] = [loop] * (loop.end - loop.first)
    return found
