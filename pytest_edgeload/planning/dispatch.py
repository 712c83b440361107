"""Chooses the task that a lane runs next. Pure: the caller passes the time and the tasks that ended; no torch."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence

from pytest_edgeload.planning.arrivals import Arrivals, Queues, TimedRequest
from pytest_edgeload.planning.open_tasks import OpenTasks
from pytest_edgeload.planning.plan import Plan, StepLoop, Task
from pytest_edgeload.planning.progress import RequestState, TaskState, WeightState
from pytest_edgeload.planning.ranks import rank_at
from pytest_edgeload.planning.ready import Choice, ReadyClass, ReadyTasks
from pytest_edgeload.planning.urgency import Urgency
from pytest_edgeload.workload import awaited_requests


class Dispatcher:
    """The state of a plan while it is carried out: the tasks that wait, are ready or run. Tasks that ended are gone.

    `requests` contain the arrival and the condition of each request; without them, all requests are there from the
    start. Times are in seconds after the start and never decrease from call to call. More tasks may follow, see
    `extend`.
    """

    def __init__(self, plan: Plan, requests: Sequence[TimedRequest] = ()) -> None:
        self._lanes, self._order, self._memory_bytes = plan.lanes, plan.order, plan.memory_bytes
        self._arrivals, self._queues, self._urgency = Arrivals(), Queues(), Urgency()
        self._open = OpenTasks(self._arrivals)
        self._tasks, self._requests = self._open.by_index, self._open.requests
        self._ready = ReadyTasks(plan.patience)
        self._fresh: set[int | None] = set()
        self._turn = 0
        self._left_of_begun = 0  # tasks of batches that have begun
        self._begun: dict[int, tuple[int, float]] = {}  # the lanes and the starts of tasks that run
        self._reservations = self._reserved_bytes = 0
        self._has_dropped = False
        self._to_discard: list[int] = []
        self.extend(plan.tasks, requests, plan.loops, service_s=plan.service_s, deadlines_s=plan.deadlines_s)

    def extend(
        self,
        tasks: Sequence[Task],
        requests: Sequence[TimedRequest] = (),
        loops: Sequence[StepLoop] = (),
        *,
        service_s: Sequence[float] = (),
        deadlines_s: Sequence[float] = (),
        now_s: float = 0.0,
    ) -> list[int]:
        """Add tasks and requests to the end of the plan, and forget the requests whose tasks have all ended.

        Indices go on from those before: tasks wait for tasks of the whole plan, and their `request` is one of these
        requests or an earlier one. `service_s` and `deadlines_s` have one time for each new request, in the orders that
        need them. A request of a batch that has begun arrives `arrival_s` after the start of the last batch, or now if
        that is over; it is dropped if a request that it depends on is. Return the requests whose conditions can be
        evaluated now, as `end` does.
        """
        self._open.forget()
        first = self._open.request_count
        self._open.add_requests(requests, tasks, max((loop.steps for loop in loops), default=1))
        added = range(first, self._open.request_count)
        for request, seconds in zip(added, service_s, strict=False):  # other orders may have other numbers of times
            self._requests[request].service_s = seconds
        for request, seconds in zip(added, deadlines_s, strict=False):
            self._requests[request].deadline_s = seconds
        for state in self._open.add_tasks(tasks, loops):
            if state.request.has_begun:
                self._left_of_begun += state.steps
            if not state.waiting:
                self._push(state, now_s)
        decided = self._connect(requests, first, now_s)
        self.advance(now_s)
        return decided

    def _connect(self, requests: Sequence[TimedRequest], first: int, now_s: float) -> list[int]:
        """Add the new requests to those they depend on. Return those whose conditions can be evaluated already."""
        decided: list[int] = []
        for r, request in enumerate(requests, first):
            deciding = None if request.when is None else request.when.request
            for source in awaited_requests(request) | {deciding}:
                awaited = None if source is None else self._requests.get(source)
                if awaited is None:
                    continue
                awaited.dependents.append(r)
                if source == deciding:
                    awaited.decided.append(r)
                if awaited.is_dropped:
                    self.drop(r, now_s)
                elif source == deciding and awaited.is_answered:
                    decided.append(r)
        return [r for r in decided if not self._requests[r].is_dropped]

    def step(self, index: int) -> int:
        """Return how often task `index`, which has not ended, has run: the number of the step that it is in."""
        return self._tasks[index].done

    def ready_s(self, index: int) -> float:
        """Return the time at which task `index`, which has not ended, was ready."""
        return self._tasks[index].ready_s

    @property
    def arrived_s(self) -> list[float | None]:
        """The time of arrival of each request; None for one that has not arrived, or is forgotten."""
        known = self._requests
        return [known[r].arrived_s if r in known else None for r in range(self._open.request_count)]

    @property
    def finished(self) -> bool:
        """Whether every task has ended."""
        return not (self._left_of_begun or self._arrivals.left)

    @property
    def dropped(self) -> tuple[int, ...]:
        """The requests that were dropped, in order."""
        return tuple(sorted(request.index for request in self._requests.values() if request.is_dropped))

    @property
    def overrun(self) -> tuple[int, ...]:
        """The requests that were dropped because newer ones filled their queue, in order."""
        return tuple(sorted(request.index for request in self._requests.values() if request.is_overrun))

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
            for r in self._arrivals.begin_batch(now_s):
                self._requests[r].has_begun = True
                self._left_of_begun += self._requests[r].left

    def _arrive(self, r: int, due_s: float) -> None:
        """Let a request arrive, and drop those that it pushes out of its queue."""
        request = self._requests[r]
        request.arrived_s = due_s
        if self._order == "deadline":
            until_s = due_s + request.deadline_s
            self._urgency.arrive(
                r,
                request.stream,
                until_s,
                request.service_s,
                request.left_until_answer,
                steps=request.steps,
                network=request.network,
                behind=self._awaited_by(request.inits),
            )
        inits, request.inits = request.inits, []
        for init in inits:
            if self._release(init, due_s):
                self._finish([init], due_s)
        if request.stream is not None and not request.is_dropped:
            for older in self._queues.arrive(r, request.stream, request.queue):
                self._requests[older].is_overrun = True
                self.drop(older, due_s)

    def _awaited_by(self, inits: Iterable[TaskState]) -> set[int]:
        """Return the requests that are not answered and whose tasks one of these inits waits for."""
        awaited = (self._tasks[index] for init in inits for index in init.task.after if index in self._tasks)
        return {state.task.request for state in awaited if not state.request.is_answered}

    def take(self, lane: int = 0, now_s: float = 0.0) -> int | None:
        """Return the index of the task that `lane` runs now and mark it as running; None if there is none."""
        choice = self._choose(lane, now_s)
        if choice is None:
            return None
        self._ready.take(choice)
        state = self._tasks[choice.task]
        if state.task.reserve:
            holder = state.request if state.weights is None else state.weights
            holder.reserved_bytes = state.task.reserve
            self._reservations += 1
            self._reserved_bytes += state.task.reserve
        if state.task.kind in {"load", "exec"}:
            self._queues.leave(state.task.request)
        self._begun[choice.task] = lane, now_s
        return choice.task

    def chain(self, index: int) -> list[int]:
        """Return the tasks that `take` would return one after the other as soon as task `index`, which runs, has ended.

        They are execs of a loop whose weights are loaded, in a step that is neither the first nor the last one, and the
        lane of `index` has no other task. This holds until a task becomes ready on that lane, see `fresh_lanes`.
        """
        state, found = self._tasks[index], list[int]()
        lane, _ = self._begun[index]
        if not 0 < state.done < state.runs - 1 or self._has_dropped or self._ready.has_task(lane):
            return found
        if self._order == "deadline":  # which learns from the time of each task
            return found
        following = state.successor
        while following is not None and following.waiting == 1 and following.done == state.done < following.runs - 1:
            found.append(following.index)
            following = following.successor
        return found

    def is_stuck(self, now_s: float = 0.0) -> bool:
        """Return whether tasks are left but none can ever run, for example for lack of memory."""
        if self.finished or self._begun or self._arrivals.next_s is not None:
            return False
        return all(self._choose(lane, now_s) is None for lane in range(self._lanes))

    def end(self, index: int, now_s: float = 0.0, chain: Sequence[int] = ()) -> list[int]:
        """Mark task `index` as ended; return the requests whose conditions can be evaluated now.

        `chain` has the first tasks of its `chain` that have ended as well.
        Drop those whose condition fails, and then advance, before the next task is taken. Nothing arrives in between:
        an answer triggers only requests whose condition holds.
        """
        self.advance(now_s)  # in order of time: requests that are due arrive before the task ends
        state = self._tasks[index]
        kind, request = state.task.kind, state.request
        if state.weights is not None and kind != "exec":
            state.weights.is_loaded = kind == "load"
        self._turn += 1
        lane, start_s = self._begun.pop(index)
        self._finish(self._end_chain(state, chain, now_s) if chain else [state], now_s)
        self._urgency.run(request.index, lane, now_s - start_s, request.left_until_answer)
        decided: list[int] = []
        if kind in {"init", "exec"} and not request.left_until_answer:
            self._urgency.answer(request.index)
            decided = [r for r in request.decided if not self._requests[r].is_dropped]
        if not decided:
            self.advance(now_s)
        return decided

    def _end_chain(self, first: TaskState, chain: Sequence[int], now_s: float) -> list[TaskState]:
        """Count a step of each task of a chain as ended, but not of the last one; return the tasks left to be counted.

        Only the last one has other tasks that wait for it.
        """
        *before, last = first, *(self._tasks[index] for index in chain)
        for state in before:
            state.done += 1
            state.request.left -= 1
            state.request.left_until_answer -= 1
        self._left_of_begun -= len(before)
        first.waiting = 1 + first.unmet()  # the others wait for the one before them again
        return [last, first] if self._release(first, now_s) else [last]

    def drop(self, request: int, now_s: float = 0.0) -> None:
        """Drop `request` and those whose conditions or inputs depend on it: only frees of loaded weights still run.

        A task of theirs that is running ends like any other. Their other tasks end when their turn comes, without being
        run.
        """
        self._has_dropped = True
        self._fresh.add(None)  # a lane may be about to run a task of it
        to_drop = [request]
        while to_drop:
            dropped = self._requests[to_drop.pop()]
            if not dropped.is_dropped:
                dropped.is_dropped = True
                self._queues.leave(dropped.index)
                self._urgency.leave(dropped.index)
                to_drop += dropped.dependents
                if not dropped.left:
                    self._to_discard.append(dropped.index)
        void = self._ready.remove_if(lambda index: self._tasks[index].is_void)
        self._finish([self._tasks[index] for index in void], now_s)

    def fresh_lanes(self) -> set[int | None]:
        """Return the lanes that may have a task since the last call; None if any lane may."""
        fresh, self._fresh = self._fresh, set()
        return fresh

    def discarded(self) -> list[int]:
        """Return the dropped requests whose tasks have all ended, each once."""
        discarded, self._to_discard = self._to_discard, []
        return discarded

    def _choose(self, lane: int, now_s: float) -> Choice | None:
        """Return the task that `lane` may run now."""
        free_bytes = math.inf
        if self._memory_bytes is not None and self._reservations:
            free_bytes = self._memory_bytes - self._reserved_bytes
        return self._ready.choose(lane, free_bytes, rank_at(now_s, self._order, self._tasks, self._urgency))

    def _finish(self, states: Sequence[TaskState], now_s: float) -> None:
        """Count the step of each task as ended, and all tasks that thereby end without being run."""
        ended = [*reversed(states)]
        while ended:
            state = ended.pop()
            self._count(state, now_s)
            if state.loop is not None and state.index == state.loop.end - 1 and self._is_over(state):
                ended = [other for other in ended if other.loop is not state.loop]
                ended += self._end_loop(state.loop, now_s)
                continue
            met = state.met()
            if state.done < state.steps:  # the next step of the task itself also waits for this one
                state.waiting = 1 + state.unmet()
                met.append(state)
            else:
                self._forget(state)
            ended += [follower for follower in met if self._release(follower, now_s)]

    def _is_over(self, last: TaskState) -> bool:
        """Return whether all that is left of a loop are tasks that need not run, by the state of its `last` one.

        Each has had a first step, so they only wait for each other.
        """
        if last.done == last.steps or not self._may_be_void(last) or last.loop is None:
            return False
        tasks = (self._tasks.get(index) for index in range(last.loop.first, last.loop.end))
        return all(each.done and each.is_void and each.index not in self._begun for each in tasks if each is not None)

    def _end_loop(self, loop: StepLoop, now_s: float) -> list[TaskState]:
        """Count all steps that are left of a loop as ended; return the later tasks that thereby end."""
        states = [self._tasks[index] for index in range(loop.first, loop.end) if index in self._tasks]
        for state in states:
            self._count(state, now_s, state.steps - state.done)
        followers = [each for state in states for each in state.followers]
        for state in states:
            self._forget(state)
        return [follower for follower in followers if self._release(follower, now_s)]

    def _forget(self, state: TaskState) -> None:
        """Remove a task that has ended."""
        del self._tasks[state.index]
        state.forget()

    def _count(self, state: TaskState, now_s: float, steps: int = 1) -> None:
        """Count the next steps of a task as ended: as a part of its request, and of that request's answer."""
        request, kind = state.request, state.task.kind
        request.left -= steps
        self._left_of_begun -= steps
        if kind in {"init", "exec"} and state.done < state.runs:
            request.left_until_answer -= min(steps, state.runs - state.done)
            if not request.left_until_answer:
                request.is_answered = True
                self._queues.leave(request.index)
                self._arrivals.answer(request.index, now_s)
        state.done += steps
        if state.weights is not None:
            self._count_use(state, state.weights)
        if not request.left:
            self._release_bytes(request)
            self._open.over.append(request)
            if request.is_dropped:
                self._to_discard.append(request.index)

    def _count_use(self, state: TaskState, weights: WeightState) -> None:
        """Count the step of a task as ended for the weights that it uses or frees."""
        if state.task.kind == "free":
            self._release_bytes(weights)
            if state.done == state.steps:
                self._open.weights.pop(state.task.weights, None)
        elif state.task.kind == "exec" and state.done == state.steps:
            weights.users.discard(state.request)

    def _release(self, state: TaskState, now_s: float) -> bool:
        """Count one event that a task waits for as over; return whether the task thereby ends without running."""
        state.waiting -= 1
        if state.waiting:
            return False
        if self._may_be_void(state) and state.is_void:
            return True
        self._push(state, now_s)
        return False

    def _may_be_void(self, state: TaskState) -> bool:
        return self._has_dropped or state.done >= state.runs

    def _release_bytes(self, holder: RequestState | WeightState) -> None:
        """Return the reservation of a request or of weights, if there is one: then other ready tasks may fit."""
        if holder.reserved_bytes is not None:
            self._reserved_bytes -= holder.reserved_bytes
            self._reservations -= 1
            holder.reserved_bytes = None
            self._fresh.add(None)

    def _push(self, state: TaskState, now_s: float) -> None:
        """Add a task to those that are ready."""
        task, request, since = state.task, state.request, (0.0, 0)
        common_rank: Hashable = None
        state.ready_s = now_s
        self._fresh.add(task.lane)
        if task.kind == "init":
            request.turn_s = now_s
        if self._order == "ready":
            since = now_s, self._turn
        elif self._order == "response-ratio":  # of requests with the same service time, the first to arrive goes first
            since, common_rank = (request.arrived_s or 0.0, 0), (task.priority, request.service_s)
        elif self._order == "deadline":
            common_rank = "free" if task.kind == "free" else (request.index, task.kind == "init")
        first = state.index if state.loop is None else state.loop.first
        self._ready.add(
            (task.priority, since, first, state.done, state.index), ReadyClass(task.lane, task.reserve, common_rank)
        )
