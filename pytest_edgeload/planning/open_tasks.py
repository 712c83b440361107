"""The tasks of a plan that have not ended, with their requests and weights, while tasks are added. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.planning.arrivals import Arrivals, TimedRequest
from pytest_edgeload.planning.plan import StepLoop, Task, WeightKey
from pytest_edgeload.planning.progress import LoopLinks, RequestState, TaskState, WeightState, loops_of


class OpenTasks:
    """The tasks, by index, that have not ended; the requests whose tasks have not all ended; weights not yet freed.

    `arrivals` gets the arrival of each request that is added.
    """

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self.by_index: dict[int, TaskState] = {}
        self._task_count = 0
        self.requests: dict[int, RequestState] = {}
        self.request_count = 0
        self.over: list[RequestState] = []  # all their tasks have ended
        self.weights: dict[WeightKey, WeightState] = {}

    def forget(self) -> None:
        """Forget the requests whose tasks have all ended."""
        for request in self.over:
            if not request.left:
                self.requests.pop(request.index, None)
        self.over.clear()

    def add_requests(self, requests: Sequence[TimedRequest], tasks: Sequence[Task], steps: int) -> None:
        """Add the new requests, and those that only their tasks are known of: these have `steps` steps."""
        first = self.request_count
        self.request_count = max([first + len(requests), *(task.request + 1 for task in tasks)])
        for r, request in enumerate(requests, first):
            state = self.requests[r] = RequestState(
                r, request.steps, request.stream, request.queue, network=id(request.network)
            )
            source = None if request.after is None else self.requests.get(request.after)
            trigger = None if source is None or source.is_answered else source.index
            state.has_begun = self._arrivals.add(r, request.arrival_s, request.batch, trigger)
        for r in range(first + len(requests), self.request_count):
            self.requests[r] = RequestState(r, steps, has_begun=self._arrivals.add(r, 0.0, 0, None))

    def add_tasks(self, tasks: Sequence[Task], loops: Sequence[StepLoop]) -> list[TaskState]:
        """Add the tasks of the plan, each to its request and to the tasks that it waits for; return them."""
        first = self._task_count
        self._task_count += len(tasks)
        added = [self._new_task(index, task) for index, task in enumerate(tasks, first)]
        for state, loop in zip(added, loops_of(len(tasks), first, loops), strict=True):
            if loop is not None:
                users = state.weights.users if state.weights is not None and state.task.kind != "exec" else ()
                state.loop, state.steps, state.links = loop, loop.steps, LoopLinks()
                state.runs = min(loop.steps, max(request.steps for request in users or (state.request,)))
            _count_new(state)
        self.by_index.update(enumerate(added, first))
        for state in added:
            self._link(state)
        for state in added:
            state.successor = state.find_successor()
        return added

    def _new_task(self, index: int, task: Task) -> TaskState:
        """Return the state of a task, and let its weights know of it."""
        request = self._request(task.request)
        if task.kind == "init":
            return TaskState(index, task, request)
        weights = self.weights.get(task.weights)
        if weights is None:
            weights = self.weights[task.weights] = WeightState()
        if task.kind == "exec":
            weights.users.add(request)
        elif task.kind == "free":
            weights.has_free = True
        return TaskState(index, task, request, weights)

    def _request(self, r: int) -> RequestState:
        """Return a request. One that was forgotten has been answered; a free of weights that it used is left."""
        if r not in self.requests:
            self.requests[r] = RequestState(r, is_answered=True)
        return self.requests[r]

    def _link(self, state: TaskState) -> None:
        """Let a new task wait for the tasks that it names, except those that have ended."""
        for index in dict.fromkeys(state.task.after):
            awaited = self.by_index.get(index)
            if awaited is not None:
                state.link(awaited)
        if state.links is not None:
            for index in {*state.task.carried} - {state.index}:
                state.link(self.by_index[index], is_carried=True)


def _count_new(state: TaskState) -> None:
    """Count a new task as a part of its request."""
    request, kind = state.request, state.task.kind
    request.left += state.steps
    if kind == "init":
        request.inits.append(state)
        state.waiting = 1  # for its arrival
    if kind in {"init", "exec"}:
        request.left_until_answer += state.runs
