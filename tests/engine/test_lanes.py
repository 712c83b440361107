"""Real threads carry out plans."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_edgeload.engine.lanes import run
from pytest_edgeload.plan import Plan, Task
from pytest_edgeload.workload import Workload
from tests.builders import network, plan_of, workload, workloads

PATIENCE_S = 20.0


@settings(deadline=None, max_examples=50)
@given(workloads(), st.sampled_from(["linear", "partial", "bulk-unchained"]), st.integers(1, 4))
def test_spans(asked: Workload, policy: str, lanes: int) -> None:
    """Every task runs once, after all it waits for, in one span; a lane's spans do not overlap."""
    plan = plan_of(policy, asked, lanes)
    performed: list[int] = []
    spans = run(plan, performed.append)
    assert sorted(performed) == sorted(span.task for span in spans) == list(range(len(plan.tasks)))
    assert spans == sorted(spans, key=lambda span: span.start_s)
    ends = {span.task: span.end_s for span in spans}
    for span in spans:
        assert 0 <= span.ready_s <= span.start_s <= span.end_s
        assert all(ends[awaited] <= span.start_s for awaited in plan.tasks[span.task].after)
    for lane in range(plan.lanes):
        own = [span for span in spans if span.lane == lane]
        assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(own))


@pytest.mark.parametrize("lanes", [2, 3])
def test_lanes_run_at_the_same_time(lanes: int) -> None:
    """As many tasks as there are lanes run at once, each on a lane of its own."""
    meeting = threading.Barrier(lanes, timeout=PATIENCE_S)

    def perform(_: int) -> None:
        meeting.wait()

    spans = run(Plan(tuple(Task("init", r) for r in range(lanes)), lanes), perform)
    assert {span.lane for span in spans} == set(range(lanes))


def test_spans_come_in_order_of_start() -> None:
    """A task that starts before others and ends after them comes before them."""
    ended = threading.Event()

    def perform(index: int) -> None:
        if index == 2:
            ended.set()
        elif index == 0:
            assert ended.wait(PATIENCE_S)

    spans = run(Plan((Task("init", 0), Task("init", 1), Task("init", 2, None, (1,))), 2), perform)
    assert spans == sorted(spans, key=lambda span: span.start_s)


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

    run(Plan(tuple(Task("init", r) for r in range(20)), 2), perform)
    assert most[0] <= 2


def test_one_lane_is_the_caller() -> None:
    """A plan of one lane runs on the thread that asks for it, in the order of its tasks."""
    performed: list[tuple[int, threading.Thread]] = []
    run(plan_of("linear", workload(network((1, 1, 1)))), lambda i: performed.append((i, threading.current_thread())))
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
        run(plan, perform)
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
        run(Plan((Task("init", 0), Task("init", 1)), 2), perform)


def test_nothing_to_do() -> None:
    """A plan without tasks ends at once and gives no spans."""
    assert run(Plan((), 2), lambda _: None) == []
