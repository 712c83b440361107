"""Real threads carry out plans."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_edgeload.engine.lanes import LaneResult, run
from pytest_edgeload.planning.plan import STAGES, Budget, InvalidPlan, Plan, Task
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Request, Workload
from tests.builders import BUDGETS, network, plan_of, timed_workloads, workload, workloads
from tests.engine.performers import Calling, on_one_lane

PATIENCE_S = 20.0
POLICY_NAMES = st.sampled_from(sorted(POLICIES))


def hurried(asked: Workload) -> Workload:
    """Return the workload with a thousandth of its arrival times: milliseconds."""
    return replace(asked, requests=tuple(replace(r, arrival_s=r.arrival_s / 1000) for r in asked.requests))


@settings(deadline=None, max_examples=50)
@given(workloads(), POLICY_NAMES, st.integers(1, 4))
def test_spans(asked: Workload, policy: str, lanes: int) -> None:
    """Every task runs once, after all it waits for, in one span; a lane's spans do not overlap."""
    plan = plan_of(policy, asked, lanes)
    performed: list[int] = []
    spans = run(plan, Calling(performed.append)).spans
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
def test_lanes_of_tasks(asked: Workload, lanes: int, data: st.DataObject) -> None:
    """A task that names a lane runs on that lane, and a task that names none on any."""
    tasks = plan_of("partial", asked).tasks
    named = data.draw(st.lists(st.none() | st.integers(0, lanes - 1), min_size=len(tasks), max_size=len(tasks)))
    placed = tuple(msgspec.structs.replace(task, lane=lane) for task, lane in zip(tasks, named, strict=True))
    spans = run(Plan(placed, lanes), Calling()).spans
    assert len(spans) == len(tasks)
    assert all(named[span.task] in {None, span.lane} for span in spans)


@settings(deadline=None, max_examples=60)
@given(timed_workloads(), POLICY_NAMES, BUDGETS, st.sets(st.integers(0, 5)))
def test_arrivals_and_conditions(asked: Workload, policy: str, budget: Budget, failing: set[int]) -> None:
    """Nothing of a request runs before it arrives; what is dropped gives back what it loaded and computed, once.

    Dropped are those whose condition is asked and fails, and those that depend on them; all else runs.
    """
    asked = hurried(asked)
    plan = POLICIES[policy](asked, budget)
    performer = Calling(decide=lambda r: r not in failing)
    ran = run(plan, performer, asked.asked)
    dropped = _dropped(asked, failing)
    assert ran.dropped == dropped
    begun = {plan.tasks[span.task].request for span in ran.spans}
    assert sorted(r for r in performer.discarded if r in begun) == sorted(begun.intersection(dropped))
    assert set(performer.discarded) <= set(dropped)
    for span in ran.spans:
        assert ran.arrived_s[plan.tasks[span.task].request] <= span.ready_s <= span.start_s
    done = {(t.kind, t.request, t.layer) for t in (plan.tasks[span.task] for span in ran.spans)}
    assert len(done) == len(ran.spans)
    assert done >= {(t.kind, t.request, t.layer) for t in plan.tasks if t.request not in dropped}
    loaded, freed = ({key[1:] for key in done if key[0] == kind} for kind in ("load", "free"))
    assert loaded == freed


def _dropped(asked: Workload, failing: set[int]) -> tuple[int, ...]:
    dropped: set[int] = set()
    for r, request in enumerate(asked.asked):
        if request.when is not None and (r in failing or request.when.request in dropped):
            dropped.add(r)
    return tuple(sorted(dropped))


@settings(deadline=None, max_examples=60)
@given(timed_workloads(), POLICY_NAMES, BUDGETS, st.sets(st.integers(0, 5)))
def test_the_order_is_known_before(asked: Workload, policy: str, budget: Budget, failing: set[int]) -> None:
    """On one lane, where no arrival is waited for, tasks run in the order of the simulation, conditions and all."""
    asked = replace(asked, requests=tuple(replace(request, arrival_s=0.0) for request in asked.requests))
    plan = on_one_lane(POLICIES[policy](asked, budget))
    simulated = simulate(plan, asked, holds=lambda r: r not in failing)
    ran = run(plan, Calling(decide=lambda r: r not in failing), asked.asked)
    assert [span.task for span in ran.spans] == [span.task for span in simulated.spans]
    assert ran.dropped == simulated.dropped


@settings(deadline=None, max_examples=50)
@given(timed_workloads(), POLICY_NAMES, st.integers(1, 3))
def test_batches(asked: Workload, policy: str, lanes: int) -> None:
    """The first batch begins at once, each other when all before it are done; requests arrive exactly on schedule."""
    asked = hurried(asked)
    plan = plan_of(policy, asked, lanes)
    ran = run(plan, Calling(), asked.requests)
    for batch in {request.batch for request in asked.requests}:
        own = [(r, request.arrival_s) for r, request in enumerate(asked.requests) if request.batch == batch]
        earlier = [s.end_s for s in ran.spans if asked.requests[plan.tasks[s.task].request].batch < batch]
        if not earlier:
            assert [ran.arrived_s[r] for r, _ in own] == [arrival_s for _, arrival_s in own]
            continue
        assert all(ran.arrived_s[r] >= max(earlier) + arrival_s for r, arrival_s in own)
        begins = [ran.arrived_s[r] - arrival_s for r, arrival_s in own]
        assert begins == pytest.approx([begins[0]] * len(begins), abs=1e-9)


def test_a_late_worker_does_not_shift_the_schedule() -> None:
    """While the only lane is busy requests arrive at the very times they were to; they are started when it is free."""
    requests = [Request(network(), arrival_s=at_s) for at_s in (0.0, 0.01, 0.02, 0.03)]
    plan = Plan(tuple(Task("init", r) for r in range(4)))
    ran = run(plan, Calling(lambda index: time.sleep(0.05 if index == 0 else 0.0)), requests)
    assert ran.arrived_s == (0.0, 0.01, 0.02, 0.03)
    first, *later = ran.spans
    assert [span.task for span in later] == [1, 2, 3]
    assert [span.ready_s for span in later] == [0.01, 0.02, 0.03]
    assert all(span.start_s >= first.end_s > 0.03 for span in later)


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_what_is_there_does_not_wait_for_what_is_to_come(lanes: int) -> None:
    """Tasks of a request that is there run long before another one arrives, and so does the end of all by an error."""
    performed: list[int] = []

    def call(index: int) -> None:
        performed.append(index)
        if index == 3:
            raise ValueError("enough")

    requests = [Request(network()), Request(network(), arrival_s=PATIENCE_S)]
    tasks = (Task("init", 0), Task("init", 1), Task("load", 0, 0, (0,)), Task("load", 0, 1, (2,)))
    with pytest.raises(ValueError, match="enough"):
        run(Plan(tasks, lanes), Calling(call), requests)
    assert performed == [0, 2, 3]


@pytest.mark.parametrize("lanes", [1, 2])
def test_the_last_to_come_is_dropped(lanes: int) -> None:
    """A run ends when the last request arrives, where that one has been dropped before."""
    ended: list[LaneResult] = []
    requests = [Request(network()), Request(network(), arrival_s=0.03, when=Condition(0, 0.0))]
    plan, performer = Plan((Task("init", 0), Task("init", 1, None, (0,))), lanes), Calling(decide=lambda _: False)
    # On a thread that the test need not wait for, nor the end of all tests.
    thread = threading.Thread(target=lambda: ended.append(run(plan, performer, requests)), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert [(ran.arrived_s, ran.dropped, len(ran.spans)) for ran in ended] == [((0.0, 0.03), (1,), 1)]


def _depending(*awaited: int) -> list[Request]:
    """Return requests of which the first is asked anyway, and each other if the answer of the awaited one says so."""
    return [Request(network()), *(Request(network(), when=Condition(parent, 0.0)) for parent in awaited)]


def _chain(request: int, first: int, *after: int) -> list[Task]:
    """Return the tasks of a request of one layer, the init being task `first`."""
    rest = [Task(kind, request, 0, (first + i,)) for i, kind in enumerate(STAGES)]
    return [Task("init", request, None, after), *rest]


def test_nothing_of_a_dropped_request_runs() -> None:
    """Of a request that waits for the answer that decides, and of all that depend on it, no task runs if it says no."""
    performer = Calling(decide=lambda r: r != 1)
    tasks = [*_chain(0, 0), *_chain(1, 4, 2), *_chain(2, 8, 6), *_chain(3, 12, 2)]
    ran = run(Plan(tuple(tasks), 2), performer, _depending(0, 1, 0))
    assert ran.dropped == (1, 2)
    assert sorted(performer.discarded) == [1, 2]
    assert sorted(span.task for span in ran.spans) == [0, 1, 2, 3, 12, 13, 14, 15]


def test_dropped_while_it_runs() -> None:
    """A task that runs when its request is dropped ends; then its weights are freed, and then all is discarded."""
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

    performer = Calling(call, decide)
    ran = run(Plan((*_chain(0, 0), *_chain(1, 4)), 2), performer, _depending(0))
    assert ran.dropped == (1,)
    assert performer.discarded == [1]
    assert {span.task for span in ran.spans} == {0, 1, 2, 3, 4, 5, 7}, "all but the exec of request 1"


@pytest.mark.parametrize("lanes", [2, 3])
def test_lanes_run_at_the_same_time(lanes: int) -> None:
    """As many tasks as there are lanes run at once, each on a lane of its own."""
    meeting = threading.Barrier(lanes, timeout=PATIENCE_S)

    def perform(_: int) -> None:
        meeting.wait()

    spans = run(Plan(tuple(Task("init", r) for r in range(lanes)), lanes), Calling(perform)).spans
    assert {span.lane for span in spans} == set(range(lanes))


def test_spans_come_in_order_of_start() -> None:
    """A task that starts before others and ends after them comes before them."""
    ended = threading.Event()

    def perform(index: int) -> None:
        if index == 2:
            ended.set()
        elif index == 0:
            assert ended.wait(PATIENCE_S)

    spans = run(Plan((Task("init", 0), Task("init", 1), Task("init", 2, None, (1,))), 2), Calling(perform)).spans
    assert list(spans) == sorted(spans, key=lambda span: span.start_s)


def test_no_more_tasks_than_lanes() -> None:
    """On two lanes a third task starts only after one of two has ended."""
    running, most = [0], [0]
    lock = threading.Lock()

    def perform(_: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.002)
        with lock:
            running[0] -= 1

    run(Plan(tuple(Task("init", r) for r in range(20)), 2), Calling(perform))
    assert most[0] <= 2


def test_one_lane_is_the_caller() -> None:
    """A plan of one lane runs on the thread that asks for it, in the order of its tasks."""
    performed: list[tuple[int, threading.Thread]] = []
    performer = Calling(lambda index: performed.append((index, threading.current_thread())))
    run(plan_of("linear", workload(network((1, 1, 1)))), performer)
    assert performed == [(i, threading.current_thread()) for i in range(4)]


@pytest.mark.parametrize("error", [ValueError("broken"), MemoryError("full"), KeyboardInterrupt()])
@pytest.mark.parametrize("on_main_thread", [True, False])
def test_an_exception_ends_the_run(error: BaseException, on_main_thread: bool) -> None:  # noqa: FBT001
    """An exception in a task of any lane ends all lanes, even waiting ones, and is raised to the caller."""
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
        run(plan, Calling(perform))
    assert raised.value is error
    assert sorted(performed) == [0, 1]
    assert threading.active_count() == threads


def test_the_first_exception_counts() -> None:
    """Where two tasks fail the exception of the first one is raised."""
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
        run(Plan((Task("init", 0), Task("init", 1)), 2), Calling(perform))


def test_a_condition_that_cannot_be_told() -> None:
    """An exception of a condition ends the run as one of a task does, even where other lanes wait for a task."""

    def decide(request: int) -> bool:
        raise IndexError("no such output")

    with pytest.raises(IndexError, match="no such output"):
        run(Plan((*_chain(0, 0), *_chain(1, 4, 2)), 3), Calling(decide=decide), _depending(0))


def test_nothing_to_do() -> None:
    """A plan without tasks ends at once and gives no spans."""
    assert run(Plan((), 2), Calling()) == LaneResult((), (), ())


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_plan_that_stops(lanes: int) -> None:
    """Where two requests hold memory and each waits for more, the run ends with words instead of waiting for ever."""
    held = (Task("init", 0), Task("load", 0, 1, (0,), reserve=5), Task("init", 1), Task("load", 1, 1, (2,), reserve=5))
    tasks = (*held, Task("load", 0, 0, (1, 3), reserve=5), Task("load", 1, 0, (1, 3), reserve=5))
    with pytest.raises(InvalidPlan, match="the plan stops"):
        run(Plan(tasks, lanes, memory_bytes=10), Calling())
