"""A plan may grow while it is carried out: requests are added, and those that are over take no memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from pytest_edgeload.job import JobRequest
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import Plan, StepLoop, Task
from pytest_edgeload.workload import Condition

LOAD, EXEC = Task("load", 0, 0, (0,)), Task("exec", 0, 0, (1,))
KEPT = Plan((Task("init", 0), LOAD, EXEC))
"""A request whose weights stay in memory: no task frees them so far."""


def _next(r: int, first: int, last: int) -> tuple[Task, ...]:
    """Return the init and the exec of request `r`, with the weights of request 0, after the task `last`."""
    return (Task("init", r, after=(last,)), Task("exec", r, 0, (first, last), weights_of=0))


def _run(dispatcher: Dispatcher, now_s: float = 0.0) -> Iterator[int]:
    """Carry out all tasks that can run, one after the other."""
    while (index := dispatcher.take(0, now_s)) is not None:
        dispatcher.end(index, now_s)
        yield index


def test_tasks_may_wait_for_tasks_that_are_over() -> None:
    """Indices go on, and a task that waits only for tasks that have ended runs when its request arrives."""
    dispatcher = Dispatcher(KEPT, [JobRequest(0)])
    assert [*_run(dispatcher)] == [0, 1, 2]
    assert dispatcher.finished
    assert dispatcher.extend(_next(1, 3, 2), [JobRequest(0, arrival_s=2.0)], now_s=1.0) == []
    assert (dispatcher.finished, dispatcher.next_arrival_s) == (False, 2.0)
    dispatcher.advance(2.0)
    assert [*_run(dispatcher, 2.0)] == [3, 4]
    assert dispatcher.finished


def test_a_request_that_is_late_arrives_now() -> None:
    """A request that was due before it was added arrives at once, at the time at which it was due."""
    dispatcher = Dispatcher(KEPT, [JobRequest(0)])
    assert [*_run(dispatcher)] == [0, 1, 2]
    dispatcher.extend(_next(1, 3, 2), [JobRequest(0, arrival_s=2.0)], now_s=5.0)
    assert dispatcher.arrived_s == [None, 2.0]  # request 0 is forgotten


def test_weights_may_be_freed_for_a_request_that_is_forgotten() -> None:
    """The free of weights that stayed belongs to an earlier request, and runs."""
    dispatcher = Dispatcher(KEPT, [JobRequest(0)])
    assert [*_run(dispatcher)] == [0, 1, 2]
    dispatcher.extend((Task("free", 0, 0, (2,)),))
    assert not dispatcher.finished
    assert [*_run(dispatcher)] == [3]
    assert dispatcher.finished


def test_load_of_a_dropped_request_runs_if_weights_may_be_used_later() -> None:
    """A load is void with its request only if the plan frees the weights: else a later request may rely on it."""
    kept = Dispatcher(KEPT, [JobRequest(0)])
    freed = Dispatcher(Plan((*KEPT.tasks, Task("free", 0, 0, (2,)))), [JobRequest(0)])
    for dispatcher, left in ((kept, [1]), (freed, [])):
        dispatcher.end(dispatcher.take() or 0)
        dispatcher.drop(0)
        assert [*_run(dispatcher)] == left
        assert dispatcher.finished


@pytest.mark.parametrize("source", [{"feeds": (Feed(0, request=0),)}, {"after": 0}, {"when": Condition(0, 0.5)}])
def test_a_request_is_dropped_with_the_one_that_it_depends_on(source: dict[str, object]) -> None:
    """A request that is added later is dropped if the one that it depends on was, and runs if it was answered."""
    for is_dropped in (True, False):
        tasks = (*KEPT.tasks, Task("free", 0, 0, (2,)), Task("init", 1))
        dispatcher = Dispatcher(Plan(tasks), [JobRequest(0), JobRequest(0, arrival_s=9.0)])
        for _ in range(3):
            dispatcher.end(dispatcher.take() or 0)
        if is_dropped:
            dispatcher.drop(0)
        decided = dispatcher.extend((Task("init", 2, after=(2,)),), [JobRequest(0, **source)])  # type: ignore[arg-type]
        assert dispatcher.dropped == ((0, 2) if is_dropped else ())
        assert decided == ([2] if "when" in source and not is_dropped else [])
        assert [*_run(dispatcher)] == ([3] if is_dropped else [3, 5])


def test_steps_of_a_request_that_is_added() -> None:
    """A loop that is added repeats its tasks, after tasks that are over."""
    dispatcher = Dispatcher(KEPT, [JobRequest(0)])
    assert [*_run(dispatcher)] == [0, 1, 2]
    loop = StepLoop(4, 6, 3)
    tasks = (Task("init", 1), Task("exec", 1, 0, (2, 3), weights_of=0), Task("exec", 1, 1, (4,), weights_of=0))
    dispatcher.extend(tasks, [JobRequest(0, steps=3)], [loop])
    assert [*_run(dispatcher)] == [3, 4, 5, 4, 5, 4, 5]
    assert dispatcher.finished


def test_requests_that_are_over_take_no_memory() -> None:
    """After a thousand more requests in a stream with weights that stay, a dispatcher has not grown."""
    dispatcher = Dispatcher(KEPT, [JobRequest(0)])
    assert [*_run(dispatcher)] == [0, 1, 2]

    def serve(requests: range) -> int:
        for r in requests:
            first = 1 + 2 * r
            dispatcher.extend(_next(r, first, first - 1), [JobRequest(0, arrival_s=float(r), stream="s", queue=2)])
            dispatcher.advance(float(r))
            assert [*_run(dispatcher, float(r))] == [first, first + 1]
        size_bytes, _ = tracemalloc.get_traced_memory()
        return size_bytes

    tracemalloc.start()
    try:
        before_bytes = serve(range(1, 200))
        assert serve(range(200, 1200)) - before_bytes < 4096
    finally:
        tracemalloc.stop()
