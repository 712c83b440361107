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
BESIDE = range(4, 7)  # requests with loads beside the computing of all later ones
SPANS = simulate(PLAN, WORKLOAD, speeds=SPEEDS).spans


def test_work_that_does_not_slow_other_work_has_the_factor_one() -> None:
    """In virtual time, every load has a disk and every exec a processor of its own."""
    assert contention_of(PLAN, SPANS) == Contention(1.0, 1.0, 1.0)


def test_slowed_work_has_its_factor() -> None:
    """Execs that run while another lane works take three times as long, and loads twice."""

    def slowed(span: Span) -> Span:
        task = PLAN.tasks[span.task]
        is_beside = task.request in (BESIDE if task.kind == "load" else range(BESIDE[0], REQUESTS))
        factor = {"exec": 3.0, "load": 2.0}.get(task.kind, 1.0) if is_beside else 1.0
        end_s = span.start_s + factor * (span.end_s - span.start_s)
        return Span(span.task, span.lane, span.ready_s, span.start_s, end_s)

    found = contention_of(PLAN, [slowed(span) for span in SPANS])
    assert found.reading_beside_computing == pytest.approx(2.0)
    assert found.computing_beside_reading == pytest.approx(3.0)
    assert found.computing_beside_computing == pytest.approx(3.0)


def test_all_requests_use_the_weights_of_the_first() -> None:
    """The loads beside and after the computing are read for their own sake, so memory stays small."""
    execs = [task for task in PLAN.tasks if task.kind == "exec"]
    assert {task.request for task in execs} == {*range(REQUESTS)}
    assert {task.weights[0] for task in execs} == {0}
    loaded, freed = ([task.weights for task in PLAN.tasks if task.kind == kind] for kind in ("load", "free"))
    assert sorted(map(str, loaded)) == sorted(map(str, freed))
