"""Requests arrive when they are due or triggered, and push older ones out of a full queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import Budget, Plan, Task
from pytest_edgeload.planning.simulate import Simulation, simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Request, Workload, awaited_requests
from tests.builders import BUDGETS, SPEEDS, network, plan_of, timed_workloads

NETWORK = network((8, 1, 1), flops=[8])  # a second to load, and a second to execute


def _simulate(*requests: Request, policy: str = "linear", holds: Sequence[bool] = ()) -> Simulation:
    """Carry out a workload on one lane; `holds` has the truth of conditions by request."""
    asked = Workload("streams", requests)
    plan = POLICIES[policy](asked, Budget(None, 1, SPEEDS))
    return simulate(plan, asked, speeds=SPEEDS, holds=lambda r: not holds or holds[r])


def _frames(*arrivals_s: float, queue: int | None) -> list[Request]:
    return [Request(NETWORK, arrival_s=at_s, stream="camera", queue=queue) for at_s in arrivals_s]


@pytest.mark.parametrize(
    ("queue", "overrun"),
    [(None, ()), (4, ()), (3, (1,)), (2, (1, 2)), (1, (1, 2, 3))],
)
def test_a_full_queue_keeps_the_newest(queue: int | None, overrun: tuple[int, ...]) -> None:
    """While one frame is executed, of those that come meanwhile only the newest stay, as many as the queue has room."""
    simulated = _simulate(*_frames(0.0, 1.25, 1.5, 1.75, 2.0, queue=queue))
    assert simulated.overrun == simulated.dropped == overrun
    assert simulated.arrived_s == (0.0, 1.25, 1.5, 1.75, 2.0)


def test_a_request_that_has_begun_is_not_replaced() -> None:
    """Frames that come faster than weights are loaded starve no stream: one that is being loaded is answered."""
    simulated = _simulate(*_frames(*(k * 0.25 for k in range(20)), queue=1))
    assert 0 not in simulated.dropped
    assert len(simulated.dropped) == 16  # in 4.75 s, a frame begins every 2 s; the last one still waits


def test_streams_have_queues_of_their_own() -> None:
    """A request of another stream, or of one that keeps all, replaces none."""
    camera = _frames(0.0, 1.25, queue=1)
    other = [replace(frame, stream="microphone", queue=queue) for frame, queue in zip(camera, (1, None), strict=True)]
    requests = sorted((*camera, *other), key=lambda request: request.arrival_s)
    assert _simulate(*requests).overrun == ()


def test_a_triggered_request_arrives_when_its_trigger_is_answered() -> None:
    """It arrives at the moment of the answer, or at its own time if that is later."""
    frame = Request(NETWORK)
    simulated = _simulate(frame, replace(frame, after=0), replace(frame, arrival_s=9.0, after=0))
    assert simulated.arrived_s == (0.0, 2.0, 9.0)
    assert simulated.makespan_s == 9.0 + 2.0


def test_a_triggered_request_is_dropped_with_its_trigger() -> None:
    """If a frame is dropped, so is all that its answer would trigger; only the frame itself was overrun."""
    first, second, third = _frames(0.0, 1.25, 1.5, queue=1)
    requests = (first, second, Request(NETWORK, arrival_s=1.25, after=1), Request(NETWORK, arrival_s=1.25, after=2))
    simulated = _simulate(*requests, third)
    assert (simulated.overrun, simulated.dropped) == ((1,), (1, 2, 3))


@pytest.mark.parametrize(("holds", "overrun"), [(True, (1,)), (False, ())])
def test_a_request_whose_condition_fails_does_not_fill_a_queue(holds: bool, overrun: tuple[int, ...]) -> None:  # noqa: FBT001
    """An answer that does not meet the condition triggers nothing, so the request that waits stays."""
    frame = Request(NETWORK)
    speech = Request(NETWORK, stream="speech", queue=1)
    triggered = replace(speech, after=0, when=Condition(0, 0.5))
    simulated = _simulate(frame, speech, triggered, holds=(True, True, holds))
    assert (simulated.overrun, simulated.dropped) == (overrun, (1,) if holds else (2,))


def test_a_trigger_that_waits_for_its_request_stops_no_plan() -> None:
    """The init of a triggered request waits for the answer in the plan as well, so no policy can turn them around."""
    asked = Workload("pair", (Request(NETWORK), Request(NETWORK, after=0)))
    plan = plan_of("linear", asked)
    answer = next(i for i, task in enumerate(plan.tasks) if task.kind == "exec")
    assert answer in next(task for task in plan.tasks if task.kind == "init" and task.request == 1).after


@dataclass
class Model:
    """The documented behavior in the simplest form, for requests of one batch."""

    requests: Sequence[Request]
    arrived_s: dict[int, float] = field(default_factory=dict)
    answered_s: dict[int, float] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    overrun: set[int] = field(default_factory=set)

    def due_s(self, r: int) -> float | None:
        """Return when a request arrives; None if that is not known."""
        request = self.requests[r]
        if request.after is None:
            return request.arrival_s
        answered_s = self.answered_s.get(request.after)
        return None if answered_s is None else max(request.arrival_s, answered_s)

    def advance(self, now_s: float) -> None:
        """Let all that is due arrive, in order, each at its time."""
        absent = [r for r in range(len(self.requests)) if r not in self.arrived_s | dict.fromkeys(self.dropped)]
        due = [(at_s, r) for r in absent if (at_s := self.due_s(r)) is not None and at_s <= now_s]
        for at_s, r in sorted(due):
            if r in self.dropped:
                continue  # by one that arrived just before
            self.arrived_s[r] = at_s
            waiting = [w for w in self.arrived_s if w not in self.begun | self.dropped | set(self.answered_s)]
            own = [w for w in waiting if self.requests[w].stream == self.requests[r].stream]
            queue = self.requests[r].queue
            for older in [] if queue is None else own[:-queue]:
                self.overrun.add(older)
                self.drop(older)

    def drop(self, r: int) -> None:
        """Drop a request with all that depend on it."""
        self.dropped.add(r)
        for d, request in enumerate(self.requests):
            sources = awaited_requests(request) | (set() if request.when is None else {request.when.request})
            if r in sources and d not in self.dropped:
                self.drop(d)


@given(
    timed_workloads(min_layers=1, queues=True),
    st.sampled_from(sorted(POLICIES)),
    BUDGETS,
    st.lists(st.tuples(st.integers(0), st.integers(0, 20).map(lambda quarters: quarters / 4)), min_size=1, max_size=8),
    st.data(),
)
def test_arrivals_and_queues_are_those_of_the_model(
    asked: Workload, policy: str, budget: Budget, choices: list[tuple[int, float]], data: st.DataObject
) -> None:
    """However long tasks take and whichever conditions fail, requests arrive and are dropped as in the model."""
    requests = sorted((replace(request, batch=0) for request in asked.requests), key=lambda request: request.arrival_s)
    asked = replace(asked, requests=tuple(_earlier(requests)))
    plan = POLICIES[policy](asked, budget)
    dispatcher, model = Dispatcher(plan, asked.asked), Model(asked.asked)
    left = {
        r: {i for i, task in enumerate(plan.tasks) if task.request == r and _answers(task)}
        for r in range(len(requests))
    }
    model.advance(now_s := 0.0)
    running: dict[int, int] = {}  # by lane
    turn = 0
    while not dispatcher.finished:
        for lane in sorted(set(range(plan.lanes)) - running.keys()):
            if (index := dispatcher.take(lane, now_s)) is not None:
                running[lane] = index
                if plan.tasks[index].kind in {"load", "exec"}:
                    model.begun.add(plan.tasks[index].request)
        choice, later_s = choices[turn % len(choices)]
        turn += 1
        due_s = dispatcher.next_arrival_s
        if running and (due_s is None or now_s + later_s < due_s):
            now_s += later_s
            model.advance(now_s)
            index = running.pop(sorted(running)[choice % len(running)])
            r = plan.tasks[index].request
            left[r].discard(index)
            failing = [decided for decided in dispatcher.end(index, now_s) if data.draw(st.booleans())]
            if not left[r] and r not in model.dropped:
                model.answered_s.setdefault(r, now_s)
            for decided in failing:
                dispatcher.drop(decided, now_s)
                model.drop(decided)
        else:
            assert due_s is not None, "tasks are left, none runs and none is to come"
            now_s = due_s
        dispatcher.advance(now_s)
        model.advance(now_s)
        assert (set(dispatcher.overrun), set(dispatcher.dropped)) == (model.overrun, model.dropped)
    assert {r: dispatcher.arrived_s[r] for r in model.arrived_s} == model.arrived_s


def _answers(task: Task) -> bool:
    return task.kind in {"init", "exec"}


def _earlier(requests: Sequence[Request]) -> Iterator[Request]:
    """Yield requests that were sorted anew, each with references to earlier ones only."""
    for r, request in enumerate(requests):
        when = None if request.when is None or request.when.request >= r else request.when
        feeds = tuple(feed for feed in request.feeds if feed.request is not None and feed.request < r)
        after = None if request.after is None or request.after >= r else request.after
        yield replace(request, when=when, feeds=feeds, after=after)


def test_a_plan_without_requests_has_no_queues() -> None:
    """Without requests, all tasks are there at the start and none is dropped."""
    dispatcher = Dispatcher(Plan((Task("init", 0), Task("exec", 0, 0, (0,)))))
    assert dispatcher.take() == 0
    dispatcher.end(0)
    assert (dispatcher.take(), dispatcher.overrun) == (1, ())
