"""Chooses the task that a lane runs next. Pure: the caller passes the time and the tasks that ended; no torch."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from pytest_edgeload.networks.tile import WHOLE
from pytest_edgeload.planning.arrivals import Arrivals, Queues, TimedRequest
from pytest_edgeload.planning.plan import Plan, Task, WeightKey
from pytest_edgeload.planning.urgency import Urgency
from pytest_edgeload.workload import awaited_requests

_ReadyTask = tuple[tuple[float, ...], tuple[float, int], int, int, int]
"""A ready task: its priority, the time and turn in which it became ready (0 if they do not count), and its place in the
order of creation: the first task of its loop, its step, and its index."""


class Dispatcher:
    """The state of a plan while it is carried out: the tasks that wait, are ready, run or have ended.

    `requests` contain the arrival and the condition of each request; without them, all requests are there from the
    start. Times are in seconds after the start and never decrease from call to call.
    """

    def __init__(self, plan: Plan, requests: Sequence[TimedRequest] = ()) -> None:
        self._plan = plan
        count = max([len(requests), *(task.request + 1 for task in plan.tasks)])
        self._arrivals, self._queues = Arrivals(requests, count), Queues(requests)
        self._decided, self._dependents = _decided(requests, count), _dependents(requests, count)
        self._loops = plan.loop_of
        self._steps = [1 if loop is None else loop.steps for loop in self._loops]
        self._done = [0] * len(plan.tasks)  # the steps of each task that have ended
        self._waiting = [len({*task.after}) + (task.kind == "init") for task in plan.tasks]  # an init for its arrival
        self._followers = _followers(plan.tasks)
        self._inits = _inits(plan.tasks, count)
        self._users = _users(plan.tasks)
        self._own_steps = [request.steps for request in requests] or [max(self._steps, default=1)] * count
        self._runs = [self._runs_of(index) for index in range(len(plan.tasks))]
        self._ready: list[_ReadyTask] = []  # sorted
        self._fresh: set[int | None] = set()
        self._turn = 0

        self._left, self._until_answer = Counter[int](), Counter[int]()
        for task, steps, runs in zip(plan.tasks, self._steps, self._runs, strict=True):
            self._left[task.request] += steps
            self._until_answer[task.request] += runs if task.kind in {"init", "exec"} else 0
        self._left_of_begun = 0  # tasks of batches that have begun
        self._running = 0

        self._reserved: dict[WeightKey, int] = {}
        self._passed_over = Counter[int]()
        self._loaded: set[WeightKey] = set()
        self._dropped: set[int] = set()
        self._overrun: list[int] = []
        self._to_discard: list[int] = []
        self.arrived_s: list[float | None] = [None] * count
        self._urgency = Urgency(plan.deadlines_s, [request.stream for request in requests])
        self.ready_s = [0.0] * len(plan.tasks)
        for index, waiting in enumerate(self._waiting):
            if not waiting:
                self._push(index, 0.0)
        self.advance(0.0)

    def step(self, index: int) -> int:
        """Return how often task `index` has ended: the number of the step that it is in."""
        return self._done[index]

    @property
    def finished(self) -> bool:
        """Whether every task has ended."""
        return not (self._left_of_begun or self._arrivals.left)

    @property
    def dropped(self) -> tuple[int, ...]:
        """The requests that were dropped, in order."""
        return tuple(sorted(self._dropped))

    @property
    def overrun(self) -> tuple[int, ...]:
        """The requests that were dropped because newer ones filled their queue, in order."""
        return tuple(sorted(self._overrun))

    @property
    def next_arrival_s(self) -> float | None:
        """The time of the next arrival; None if there is none, or it depends on tasks that have not ended."""
        return self._arrivals.next_s

    def advance(self, now_s: float) -> None:
        """Set the time to `now_s`: each request that is due has arrived, at exactly the time at which it was due."""
        while True:
            for due_s, request in self._arrivals.due(now_s):
                self._arrive(request, due_s)
            if self._left_of_begun or not self._arrivals.left:
                return
            self._left_of_begun += sum(self._left[r] for r in self._arrivals.begin_batch(now_s))

    def _arrive(self, request: int, due_s: float) -> None:
        """Let a request arrive, and drop those that it pushes out of its queue."""
        self.arrived_s[request] = due_s
        for init in self._inits[request]:
            if self._release(init, due_s):
                self._finish(init, due_s)
        if request not in self._dropped:
            for older in self._queues.arrive(request):
                self._overrun.append(older)
                self.drop(older, due_s)

    def take(self, lane: int = 0, now_s: float = 0.0) -> int | None:
        """Return the index of the task that `lane` runs now and mark it as running; None if there is none."""
        entry, passed = self._choose(lane, now_s)
        if entry is None:
            return None
        index = entry[-1]
        task = self._plan.tasks[index]
        if task.reserve:
            self._reserved[task.weights] = task.reserve
            self._passed_over.update(passed)
        if task.kind in {"load", "exec"}:
            self._queues.leave(task.request)
        self._ready.remove(entry)
        self._running += 1
        return index

    def is_stuck(self, now_s: float = 0.0) -> bool:
        """Return whether tasks are left but none can ever run, for example for lack of memory."""
        if self.finished or self._running or self._arrivals.next_s is not None:
            return False
        return all(self._choose(lane, now_s)[0] is None for lane in range(self._plan.lanes))

    def end(self, index: int, now_s: float = 0.0) -> list[int]:
        """Mark task `index` as ended; return the requests whose conditions can be evaluated now.

        Drop those whose condition fails, and then advance, before the next task is taken. Nothing arrives in between:
        an answer triggers only requests whose condition holds.
        """
        self.advance(now_s)  # in order of time: requests that are due arrive before the task ends
        task = self._plan.tasks[index]
        if task.kind == "load":
            self._loaded.add(task.weights)
        elif task.kind == "free":
            self._loaded.discard(task.weights)
        self._turn += 1
        self._running -= 1
        self._finish(index, now_s)
        is_answer = task.kind in {"init", "exec"} and not self._until_answer[task.request]
        if is_answer and self._plan.order == "deadline" and task.request not in self._dropped:
            self._urgency.answer(task.request, self.arrived_s[task.request] or 0.0, now_s)
        decided = [r for r in self._decided[task.request] if r not in self._dropped] if is_answer else []
        if not decided:
            self.advance(now_s)
        return decided

    def drop(self, request: int, now_s: float = 0.0) -> None:
        """Drop `request` and those whose conditions or inputs depend on it: only frees of loaded weights still run.

        A task of theirs that is running ends like any other. Their other tasks end when their turn comes, without being
        run.
        """
        to_drop = [request]
        while to_drop:
            r = to_drop.pop()
            if r not in self._dropped:
                self._dropped.add(r)
                self._queues.leave(r)
                to_drop += self._dependents[r]
                if not self._left[r]:
                    self._to_discard.append(r)
        for entry in [entry for entry in self._ready if self._is_void(entry[-1])]:
            self._ready.remove(entry)
            self._finish(entry[-1], now_s)

    def fresh_lanes(self) -> set[int | None]:
        """Return the lanes that may have a task since the last call; None if any lane may."""
        fresh, self._fresh = self._fresh, set()
        return fresh

    def discarded(self) -> list[int]:
        """Return the dropped requests whose tasks have all ended, each once."""
        discarded, self._to_discard = self._to_discard, []
        return discarded

    def _choose(self, lane: int, now_s: float) -> tuple[_ReadyTask | None, list[int]]:
        """Return the task that `lane` may run now, and the tasks it passes over because their memory does not fit."""
        passed: list[int] = []
        for entry in self._candidates(lane, now_s):
            task = self._plan.tasks[entry[-1]]
            if not task.reserve or self._admits(task.reserve, passed):
                return entry, passed
            passed.append(entry[-1])
        return None, []

    def _candidates(self, lane: int, now_s: float) -> Iterable[_ReadyTask]:
        """Return the ready tasks of `lane` in the order in which they may run."""
        tasks = self._plan.tasks
        own = (entry for entry in self._ready if tasks[entry[-1]].lane in {None, lane})
        if self._plan.order in {"created", "ready"}:
            return own
        rank = cache(self._by_deadline if self._plan.order == "deadline" else self._by_response_ratio)
        return sorted(own, key=lambda entry: (entry[0], rank(tasks[entry[-1]].request, now_s)))

    def _by_deadline(self, request: int, now_s: float) -> tuple[float, float]:
        """Return the sort key by deadline; see `planning.urgency`."""
        return self._urgency.rank(request, self.arrived_s[request] or 0.0, now_s)

    def _by_response_ratio(self, request: int, now_s: float) -> tuple[float, float]:
        """Return the sort key by response ratio; of equal ratios, the shorter request goes first.

        The same order holds a moment later: requests that arrived together keep their order at any time.
        """
        service_s = self._plan.service_s[request]
        waited_s = now_s - (self.arrived_s[request] or 0.0)
        return -(1 + waited_s / service_s) if service_s > 0 else -math.inf, service_s

    def _admits(self, size_bytes: int, passed: Sequence[int]) -> bool:
        """Return whether a task may reserve `size_bytes` now, passing over the tasks `passed`."""
        patience, memory_bytes = self._plan.patience, self._plan.memory_bytes
        if patience is not None and any(self._passed_over[index] >= patience for index in passed):
            return False
        if memory_bytes is None or not self._reserved:
            return True
        return sum(self._reserved.values()) + size_bytes <= memory_bytes

    def _runs_of(self, index: int) -> int:
        """Return how often task `index` runs: in each step of its loop in which a request needs it."""
        return min(self._steps[index], max(self._own_steps[r] for r in self._needed_by(self._plan.tasks[index])))

    def _is_void(self, index: int) -> bool:
        """Return whether a task need not run: the requests that need it are dropped or done, and it frees no memory."""
        task, step = self._plan.tasks[index], self._done[index]
        if step < self._runs[index] and not self._dropped:
            return False  # as mostly, and quickly
        if any(r not in self._dropped and step < self._own_steps[r] for r in self._needed_by(task)):
            return False
        return task.kind != "free" or task.weights not in self._loaded

    def _needed_by(self, task: Task) -> set[int]:
        """Return the requests that need `task`. Weights that one request loads may be used by others."""
        if task.kind in {"load", "free"}:
            return self._users.get(task.weights) or {task.request}
        return {task.request}

    def _finish(self, index: int, now_s: float) -> None:
        """Count task `index` as ended, and all tasks that thereby end without being run."""
        ended = [index]
        while ended:
            index = ended.pop()
            task = self._plan.tasks[index]
            r = task.request
            self._left[r] -= 1
            self._left_of_begun -= 1
            if task.kind in {"init", "exec"} and self._done[index] < self._runs[index]:
                self._until_answer[r] -= 1
                if not self._until_answer[r]:
                    self._queues.leave(r)
                    self._arrivals.answer(r, now_s)
            if task.kind == "free":
                self._release_bytes(task.weights)
            if not self._left[r]:
                self._release_bytes((r, None, WHOLE))
                if r in self._dropped:
                    self._to_discard.append(r)
            self._done[index] += 1
            met = [f for f in self._followers[index] if self._meets(index, f)]
            if self._done[index] < self._steps[index]:  # the next step of the task itself also waits for this one
                self._waiting[index] = 1 + self._unmet(index)
                met.append(index)
            ended += [follower for follower in met if self._release(follower, now_s)]

    def _meets(self, index: int, follower: int) -> bool:
        """Return whether the step of task `index` that has just ended is one that `follower` waits for."""
        done, loop = self._done[index], self._loops[index]
        if loop is None or follower not in loop:
            return done == self._steps[index]
        task, step = self._plan.tasks[follower], self._done[follower]
        return (index in task.after and done == step + 1) or (index in task.carried and done == step)

    def _unmet(self, index: int) -> int:
        """Return how many tasks the step of task `index` that comes next, and is not its first, still waits for."""
        task, step, loop = self._plan.tasks[index], self._done[index], self._loops[index]
        assert loop is not None  # only a loop has a second step
        own = sum(self._done[a] <= step for a in {*task.after} if a in loop)
        return own + sum(self._done[c] < step for c in {*task.carried})

    def _release(self, index: int, now_s: float) -> bool:
        """Count one event that task `index` waits for as over; return whether the task thereby ends without running."""
        self._waiting[index] -= 1
        if self._waiting[index]:
            return False
        if self._is_void(index):
            return True
        self._push(index, now_s)
        return False

    def _release_bytes(self, weights: WeightKey) -> None:
        """Return the reservation of `weights`, if there is one: then other ready tasks may fit."""
        if self._reserved.pop(weights, None) is not None:
            self._fresh.add(None)

    def _push(self, index: int, now_s: float) -> None:
        self.ready_s[index] = now_s
        task = self._plan.tasks[index]
        self._fresh.add(task.lane)
        if task.kind == "init":
            self._urgency.begin(task.request, now_s)
        since = (now_s, self._turn) if self._plan.order == "ready" else (0.0, 0)
        loop = self._loops[index]
        first = index if loop is None else loop.first
        insort(self._ready, (task.priority, since, first, self._done[index], index))


def _followers(tasks: Sequence[Task]) -> list[list[int]]:
    """Return, for each task, the tasks that wait for it."""
    followers: list[list[int]] = [[] for _ in tasks]
    for index, task in enumerate(tasks):
        for awaited in {*task.after, *task.carried} - {index}:
            followers[awaited].append(index)
    return followers


def _inits(tasks: Sequence[Task], count: int) -> list[list[int]]:
    """Return, for each of `count` requests, its inits."""
    inits: list[list[int]] = [[] for _ in range(count)]
    for index, task in enumerate(tasks):
        if task.kind == "init":
            inits[task.request].append(index)
    return inits


def _users(tasks: Sequence[Task]) -> dict[WeightKey, set[int]]:
    """Return, for all weights, the requests that are executed with them."""
    users: dict[WeightKey, set[int]] = {}
    for task in tasks:
        if task.kind == "exec":
            users.setdefault(task.weights, set()).add(task.request)
    return users


def _decided(requests: Sequence[TimedRequest], count: int) -> list[list[int]]:
    """Return, for each of `count` requests, the requests whose conditions depend on it."""
    decided: list[list[int]] = [[] for _ in range(count)]
    for r, request in enumerate(requests):
        if request.when is not None:
            decided[request.when.request].append(r)
    return decided


def _dependents(requests: Sequence[TimedRequest], count: int) -> list[list[int]]:
    """Return, for each of `count` requests, those that are dropped with it.

    It decides about them, feeds them or triggers them.
    """
    dependents = _decided(requests, count)
    for r, request in enumerate(requests):
        for source in awaited_requests(request):
            dependents[source].append(r)
    return dependents
