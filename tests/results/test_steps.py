"""What is kept of a plan beside the times its tasks took."""

from __future__ import annotations

from hypothesis import given

from pytest_edgeload.planning.plan import Builder
from pytest_edgeload.results.record import Step
from pytest_edgeload.results.steps import steps
from pytest_edgeload.workload import Workload
from tests.builders import embedding, network, plan_of, timed_workloads, workload


@given(timed_workloads())
def test_a_step_a_task(asked: Workload) -> None:
    """There is a step for each task of the plan, of the same kind and request, with the layer that it is about."""
    plan = plan_of("linear", asked)
    found = steps(plan, asked)
    assert [(step.kind, step.request) for step in found] == [(task.kind, task.request) for task in plan.tasks]
    for step, task in zip(found, plan.tasks, strict=True):
        layer = None if task.layer is None else asked.requests[task.request].network.layers[task.layer]
        assert step.layer == ("" if layer is None else layer.name)
        assert step.weight_bytes == (0 if layer is None else layer.weight_bytes)


def test_tiles_are_named() -> None:
    """A tile has its rows in its name, or the words that those are loaded which are asked for, and its own bytes."""
    plan = Builder(workload(embedding("x"), network((8, 1, 1))))
    init = plan.add("init", 0)
    plan.add("load", 0, 0, after=init, rows="asked")
    plan.add("load", 0, 0, after=init, rows=(10, 30))
    found = steps(plan.done(), workload(embedding("x"), network((8, 1, 1))))
    assert found[0] == Step("init", 0)
    assert [(step.layer, step.weight_bytes) for step in found[1:]] == [("layer0 [asked]", 32), ("layer0 [10:30]", 160)]
