"""Lanes: real threads that execute plans."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_edgeload.engine.lanes import LaneResult, run
from pytest_edgeload.planning.plan import STAGES, Budget, Builder, InvalidPlan, Plan, Task
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Request, Workload, awaited_requests
from tests.builders import BUDGETS, network, plan_of, timed_workloads, workloads
from tests.engine.performers import CallbackPerformer, on_one_lane

PATIENCE_S = 100.0
POLICY_NAMES = st.sampled_from(sorted(POLICIES))


def speed_up(workload: Workload) -> Workload:
    """Return the workload with arrival times divided by 1000: milliseconds."""
    return replace(workload, requests=tuple(replace(r, arrival_s=r.arrival_s / 1000) for r in workload.requests))


@settings(deadline=None, max_examples=50)
@given(workloads(), POLICY_NAMES, st.integers(1, 4))
def test_every_task_runs_once_after_its_predecessors(workload: Workload, policy: str, lanes: int) -> None:
    """Every task runs once, after all tasks that it waits for; the spans of a lane do not overlap."""
    plan = plan_of(policy, workload, lanes)
    performed: list[int] = []
    spans = run(plan, CallbackPerformer(performed.append)).spans
    assert sorted(performed) == sorted(span.task for span in spans) == list(range(len(plan.tasks)))
    assert list(spans) == sorted(spans, key=lambda span: span.start_s)
    ends = {span.task: span.end_s for span in spans}
    for span in spans:
        assert 0 <= span.ready_s <= span.start_s <= span.end_s
        assert all(ends[awaited] <= span.start_s for awaited in plan.tasks[span.task].after)
    for lane in range(plan.lanes):
        own = [span for span in spans if span.lane == lane]
        assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(own))


@settings(deadline=None, max_examples=50)
@given(workloads(), st.integers(1, 3), st.data())
def test_a_task_with_a_lane_runs_on_that_lane(workload: Workload, lanes: int, data: st.DataObject) -> None:
    """A task with a lane runs on that lane, and a task without one on any."""
    tasks = plan_of("partial", workload).tasks
    named = data.draw(st.lists(st.none() | st.integers(0, lanes - 1), min_size=len(tasks), max_size=len(tasks)))
    placed = tuple(msgspec.structs.replace(task, lane=lane) for task, lane in zip(tasks, named, strict=True))
    spans = run(Plan(placed, lanes), CallbackPerformer()).spans
    assert len(spans) == len(tasks)
    assert all(named[span.task] in {None, span.lane} for span in spans)


@settings(deadline=None, max_examples=60)
@given(timed_workloads(), POLICY_NAMES, BUDGETS, st.sets(st.integers(0, 5)))
def test_requests_run_after_arrival_or_are_dropped(
    workload: Workload, policy: str, budget: Budget, failing: set[int]
) -> None:
    """No task of a request runs before it arrives; a dropped request frees all weights it loaded and is discarded once.

    A request is dropped if its condition is evaluated and fails, or if it depends on a dropped request; all others run.
    """
    workload = speed_up(workload)
    plan = POLICIES[policy](workload, budget)
    performer = CallbackPerformer(decide=lambda r: r not in failing)
    result = run(plan, performer, workload.asked)
    dropped = _dropped(workload, failing)
    assert result.dropped == dropped
    started = {plan.tasks[span.task].request for span in result.spans}
    assert sorted(r for r in performer.discarded if r in started) == sorted(started.intersection(dropped))
    assert set(performer.discarded) <= set(dropped)
    for span in result.spans:
        assert result.arrived_s[plan.tasks[span.task].request] <= span.ready_s <= span.start_s
    done = {(t.kind, t.request, t.layer) for t in (plan.tasks[span.task] for span in result.spans)}
    assert len(done) == len(result.spans)
    assert done >= {(t.kind, t.request, t.layer) for t in plan.tasks if t.request not in dropped}
    loaded, freed = ({key[1:] for key in done if key[0] == kind} for kind in ("load", "free"))
    assert loaded == freed


def _dropped(workload: Workload, failing: set[int]) -> tuple[int, ...]:
    dropped: set[int] = set()
    for r, request in enumerate(workload.asked):
        decides = set() if request.when is None else {request.when.request}
        if (decides and r in failing) or not dropped.isdisjoint(decides | awaited_requests(request)):
            dropped.add(r)
    return tuple(sorted(dropped))


@settings(deadline=None, max_examples=60)
@given(timed_workloads(), POLICY_NAMES, BUDGETS, st.sets(st.integers(0, 5)))
def test_order_equals_the_simulation(workload: Workload, policy: str, budget: Budget, failing: set[int]) -> None:
    """If all requests arrive at the start, one lane runs tasks in the order of the simulation, also with conditions."""
    workload = replace(workload, requests=tuple(replace(request, arrival_s=0.0) for request in workload.requests))
    plan = on_one_lane(POLICIES[policy](workload, budget))
    simulated = simulate(plan, workload, holds=lambda r: r not in failing)
    result = run(plan, CallbackPerformer(decide=lambda r: r not in failing), workload.asked)
    assert [span.task for span in result.spans] == [span.task for span in simulated.spans]
    assert result.dropped == simulated.dropped


@settings(deadline=None, max_examples=50)
@given(timed_workloads(), POLICY_NAMES, st.integers(1, 3))
def test_a_batch_starts_when_all_before_it_are_done(workload: Workload, policy: str, lanes: int) -> None:
    """The first batch starts at once, each other when all before it are done; requests arrive exactly on schedule."""
    untriggered = tuple(replace(request, after=None) for request in workload.requests)
    workload = speed_up(replace(workload, requests=untriggered))
    plan = plan_of(policy, workload, lanes)
    result = run(plan, CallbackPerformer(), workload.requests)
    for batch in {request.batch for request in workload.requests}:
        in_batch = [(r, request.arrival_s) for r, request in enumerate(workload.requests) if request.batch == batch]
        earlier = [s.end_s for s in result.spans if workload.requests[plan.tasks[s.task].request].batch < batch]
        if not earlier:
            assert [result.arrived_s[r] for r, _ in in_batch] == [arrival_s for _, arrival_s in in_batch]
            continue
        assert all(result.arrived_s[r] >= max(earlier) + arrival_s for r, arrival_s in in_batch)
        begins = [result.arrived_s[r] - arrival_s for r, arrival_s in in_batch]
        assert begins == pytest.approx([begins[0]] * len(begins), abs=1e-9)


def test_a_busy_lane_does_not_shift_the_schedule() -> None:
    """While the only lane is busy, requests arrive at their scheduled times; they start when the lane is free."""
    requests = [Request(network(), arrival_s=at_s) for at_s in (0.0, 0.01, 0.02, 0.03)]
    plan = Plan(tuple(Task("init", r) for r in range(4)))
    result = run(plan, CallbackPerformer(lambda index: time.sleep(0.05 if index == 0 else 0.0)), requests)
    assert result.arrived_s == (0.0, 0.01, 0.02, 0.03)
    first, *later = result.spans
    assert [span.task for span in later] == [1, 2, 3]
    assert [span.ready_s for span in later] == [0.01, 0.02, 0.03]
    assert all(span.start_s >= first.end_s > 0.03 for span in later)


def test_an_arrival_during_a_step_is_seen_after_the_next_exec() -> None:
    """The only lane takes the execs of a step together, and stops as soon as a more urgent request has arrived."""
    arrival_s, layers, steps = 0.2, 8, 4
    asked = network(*[(8, 4, 4)] * layers)
    workload = Workload("late", (Request(asked, steps=steps), Request(network(), arrival_s=arrival_s)))
    builder = Builder(workload)
    last = builder.add("init", 0)
    for i in range(layers):
        last = builder.add("load", 0, i, after=last)
    with builder.loop(steps):
        for i in range(layers):
            last = during = builder.add("exec", 0, i, after=last, lane=0, priority=(1.0,))
    during -= layers // 2
    late = builder.add("init", 1, priority=(0.0,))
    begin_s, counts = time.perf_counter(), Counter[int]()

    def call(index: int) -> None:
        counts[index] += 1
        if index == during and counts[index] == 2:  # in the second step
            time.sleep(max(0.0, begin_s + arrival_s + 0.01 - time.perf_counter()))

    result = run(builder.done(), CallbackPerformer(call), workload.asked, begin_s=begin_s)
    at = next(i for i, span in enumerate(result.spans) if span.task == late)
    assert result.spans[at - 1].start_s < arrival_s < result.spans[at].start_s


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_present_requests_do_not_wait_for_later_ones(lanes: int) -> None:
    """Tasks of a present request run before a later one arrives, and an error ends the run before that as well."""
    performed: list[int] = []

    def call(index: int) -> None:
        performed.append(index)
        if index == 3:
            raise ValueError("enough")

    requests = [Request(network()), Request(network(), arrival_s=PATIENCE_S)]
    tasks = (Task("init", 0), Task("init", 1), Task("load", 0, 0, (0,)), Task("load", 0, 1, (2,)))
    with pytest.raises(ValueError, match="enough"):
        run(Plan(tasks, lanes), CallbackPerformer(call), requests)
    assert performed == [0, 2, 3]


@pytest.mark.parametrize("lanes", [1, 2])
def test_run_ends_when_the_last_request_is_dropped(lanes: int) -> None:
    """A run ends at the arrival of the last request even if that request was dropped earlier."""
    results: list[LaneResult] = []
    requests = [Request(network()), Request(network(), arrival_s=0.03, when=Condition(0, 0.0))]
    plan, performer = (
        Plan((Task("init", 0), Task("init", 1, None, (0,))), lanes),
        CallbackPerformer(decide=lambda _: False),
    )
    # On a daemon thread, so that neither this test nor the session waits for it forever.
    thread = threading.Thread(target=lambda: results.append(run(plan, performer, requests)), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert [(result.arrived_s, result.dropped, len(result.spans)) for result in results] == [((0.0, 0.03), (1,), 1)]


def _depending(*awaited: int) -> list[Request]:
    """Return a request without a condition, and one request with a condition on each request in `awaited`."""
    return [Request(network()), *(Request(network(), when=Condition(parent, 0.0)) for parent in awaited)]


def _chain(request: int, first: int, *after: int) -> list[Task]:
    """Return the tasks of a request of one layer, with the init as task `first`."""
    rest = [Task(kind, request, 0, (first + i,)) for i, kind in enumerate(STAGES)]
    return [Task("init", request, None, after), *rest]


def test_no_task_of_a_dropped_request_runs() -> None:
    """If a condition that waits for an answer fails, no task of its request or of dependent requests runs."""
    performer = CallbackPerformer(decide=lambda r: r != 1)
    tasks = [*_chain(0, 0), *_chain(1, 4, 2), *_chain(2, 8, 6), *_chain(3, 12, 2)]
    result = run(Plan(tuple(tasks), 2), performer, _depending(0, 1, 0))
    assert result.dropped == (1, 2)
    assert sorted(performer.discarded) == [1, 2]
    assert sorted(span.task for span in result.spans) == [0, 1, 2, 3, 12, 13, 14, 15]


def test_a_request_is_dropped_while_a_task_runs() -> None:
    """If a request is dropped while its task runs, the task ends, weights are freed, and the request is discarded."""
    loading, decided = threading.Event(), threading.Event()

    def call(index: int) -> None:
        if index == 2:  # the exec that answers request 0
            assert loading.wait(PATIENCE_S)
        elif index == 5:  # the load of request 1
            loading.set()
            assert decided.wait(PATIENCE_S)
        elif index == 7:  # its free
            assert performer.discarded == []

    def decide(_: int) -> bool:
        decided.set()
        return False

    performer = CallbackPerformer(call, decide)
    result = run(Plan((*_chain(0, 0), *_chain(1, 4)), 2), performer, _depending(0))
    assert result.dropped == (1,)
    assert performer.discarded == [1]
    assert {span.task for span in result.spans} == {0, 1, 2, 3, 4, 5, 7}, "all but the exec of request 1"


@pytest.mark.parametrize("lanes", [2, 3])
def test_lanes_run_tasks_concurrently(lanes: int) -> None:
    """As many tasks as lanes run at once, each on its own lane."""
    meeting = threading.Barrier(lanes, timeout=PATIENCE_S)

    def perform(_: int) -> None:
        meeting.wait()

    spans = run(Plan(tuple(Task("init", r) for r in range(lanes)), lanes), CallbackPerformer(perform)).spans
    assert {span.lane for span in spans} == set(range(lanes))


def test_spans_are_in_order_of_start() -> None:
    """A task that starts before others and ends after them comes first."""
    ended = threading.Event()

    def perform(index: int) -> None:
        if index == 2:
            ended.set()
        elif index == 0:
            assert ended.wait(PATIENCE_S)

    spans = run(
        Plan((Task("init", 0), Task("init", 1), Task("init", 2, None, (1,))), 2), CallbackPerformer(perform)
    ).spans
    assert list(spans) == sorted(spans, key=lambda span: span.start_s)


def test_at_most_one_task_per_lane_runs() -> None:
    """On two lanes a third task starts only after one of the two has ended."""
    running, peak = [0], [0]
    lock = threading.Lock()

    def perform(_: int) -> None:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        threading.Event().wait(0.002)
        with lock:
            running[0] -= 1

    run(Plan(tuple(Task("init", r) for r in range(20)), 2), CallbackPerformer(perform))
    assert peak[0] <= 2


def test_the_first_lane_is_the_calling_thread() -> None:
    """A plan with one lane runs on the calling thread, in the order of its tasks."""
    performed: list[tuple[int, threading.Thread]] = []
    performer = CallbackPerformer(lambda index: performed.append((index, threading.current_thread())))
    run(plan_of("linear", Workload("one", (Request(network((1, 1, 1))),))), performer)
    assert performed == [(i, threading.current_thread()) for i in range(4)]


@pytest.mark.parametrize("error", [ValueError("broken"), MemoryError("full"), KeyboardInterrupt()])
@pytest.mark.parametrize("on_main_thread", [True, False])
def test_an_exception_ends_all_lanes(error: BaseException, on_main_thread: bool) -> None:  # noqa: FBT001
    """An exception in a task of any lane ends all lanes, even waiting ones, and is raised in the caller."""
    performed: list[int] = []
    meeting = threading.Barrier(2, timeout=PATIENCE_S)

    def perform(index: int) -> None:
        performed.append(index)
        if index < 2:  # tasks 0 and 1 run at the same time, on different lanes
            meeting.wait()
            if (threading.current_thread() is threading.main_thread()) is on_main_thread:
                threading.Event().wait(0.02)  # so that the other lane waits for a task
                raise error

    threads = threading.active_count()
    plan = Plan((Task("init", 0), Task("init", 1), Task("init", 2, None, (0, 1)), Task("init", 3, None, (2,))), 2)
    with pytest.raises(type(error)) as raised:
        run(plan, CallbackPerformer(perform))
    assert raised.value is error
    assert sorted(performed) == [0, 1]
    assert threading.active_count() == threads


def test_the_first_exception_is_raised() -> None:
    """If two tasks fail, the exception of the first one is raised."""
    failed = threading.Event()

    def perform(index: int) -> None:
        if index == 1:
            failed.wait(PATIENCE_S)
            raise ValueError("second")
        try:
            raise ValueError("first")
        finally:
            threading.Timer(0.2, failed.set).start()

    with pytest.raises(ValueError, match="first"):
        run(Plan((Task("init", 0), Task("init", 1)), 2), CallbackPerformer(perform))


def test_an_exception_of_a_condition_ends_all_lanes() -> None:
    """An exception of a condition ends the run like one of a task, even while other lanes wait for a task."""

    def decide(request: int) -> bool:
        raise IndexError("no such output")

    with pytest.raises(IndexError, match="no such output"):
        run(Plan((*_chain(0, 0), *_chain(1, 4, 2)), 3), CallbackPerformer(decide=decide), _depending(0))


def test_an_empty_plan_ends_at_once() -> None:
    """A plan without tasks ends at once and has no spans."""
    assert run(Plan((), 2), CallbackPerformer()) == LaneResult((), (), ())


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_plan_that_stops_is_invalid(lanes: int) -> None:
    """If two requests hold memory and each waits for more, the run raises InvalidPlan instead of waiting forever."""
    loads = (
        Task("init", 0),
        Task("load", 0, 1, (0,), reserve=5),
        Task("init", 1),
        Task("load", 1, 1, (2,), reserve=5),
    )
    tasks = (*loads, Task("load", 0, 0, (1, 3), reserve=5), Task("load", 1, 0, (1, 3), reserve=5))
    with pytest.raises(InvalidPlan, match="the plan stops"):
        run(Plan(tasks, lanes, memory_bytes=10), CallbackPerformer())
