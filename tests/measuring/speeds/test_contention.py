"""The plan that measures contention does each kind of work alone and beside the other."""

from __future__ import annotations

import pytest

from pytest_edgeload.measuring.speeds.contention import REQUESTS, contention_of, contention_plan
from pytest_edgeload.planning.machine_speeds import Contention
from pytest_edgeload.planning.plan import Span
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.workload import Request, Workload
from tests.builders import SPEEDS, network

LAYERS = network((16, 4, 4), (8, 4, 4), flops=(16, 4))
WORKLOAD = Workload("made-up", (Request(LAYERS),) * REQUESTS)
PLAN = contention_plan(WORKLOAD)
BESIDE, BESIDE_ARENA = range(4, 7), range(22, 26)  # requests with loads beside computing
SPANS = simulate(PLAN, WORKLOAD, speeds=SPEEDS).spans


def test_work_that_does_not_slow_other_work_has_the_factor_one() -> None:
    """In virtual time, every load has a disk and every exec a processor of its own."""
    assert contention_of(PLAN, SPANS) == Contention(1.0, 1.0, 1.0, 1.0, 1.0)


def test_slowed_work_has_its_factor() -> None:
    """Execs beside plain loads and other execs take three times as long, and those loads twice; less into the arena."""
    factors = {"load": 2.0, "exec": 3.0}, {"load": 1.25, "exec": 1.5}

    def slowed(span: Span) -> Span:
        task = PLAN.tasks[span.task]
        loads = *BESIDE, *BESIDE_ARENA
        is_beside = task.request in (loads if task.kind == "load" else range(BESIDE[0], REQUESTS))
        factor = factors[task.request >= BESIDE_ARENA[0]].get(task.kind, 1.0) if is_beside else 1.0
        end_s = span.start_s + factor * (span.end_s - span.start_s)
        return Span(span.task, span.lane, span.ready_s, span.start_s, end_s)

    found = contention_of(PLAN, [slowed(span) for span in SPANS])
    assert found.reading_beside_computing == pytest.approx(2.0)
    assert found.computing_beside_reading == pytest.approx(3.0)
    assert found.computing_beside_computing == pytest.approx(3.0)
    assert found.arena_reading_beside_computing == pytest.approx(1.25)
    assert found.computing_beside_arena_reading == pytest.approx(1.5)


def test_the_arena_holds_one_layer_at_a_time() -> None:
    """Loads into it begin at its start, and only those beside computing and after it have a place."""
    places = {task.request: task.place for task in PLAN.tasks if task.kind == "load"}
    assert {request for request, place in places.items() if place == 0} == set(range(21, 30))


def test_all_requests_use_the_weights_of_the_first() -> None:
    """The loads beside and after the computing are read for their own sake, so memory stays small."""
    execs = [task for task in PLAN.tasks if task.kind == "exec"]
    assert {task.request for task in execs} == {*range(REQUESTS)}
    assert {task.weights[0] for task in execs} == {0}
    loaded, freed = ([task.weights for task in PLAN.tasks if task.kind == kind] for kind in ("load", "free"))
    assert sorted(map(str, loaded)) == sorted(map(str, freed))
