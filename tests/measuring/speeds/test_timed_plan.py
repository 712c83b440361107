"""The times of layers and other tasks follow from the spans of a run."""

from __future__ import annotations

import pytest

from pytest_edgeload.measuring.speeds.timed_plan import TimedPlan
from pytest_edgeload.planning.machine_speeds import LayerSize, LayerTime
from pytest_edgeload.planning.plan import Budget, Span
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import network

MADE_UP = network((1000, 10, 10), (3000, 20, 20), (1000, 10, 10))  # the first and the last layer have one size
WORKLOAD = Workload("made-up", (Request(MADE_UP),) * 2)
PLAN = POLICIES["linear"](WORKLOAD, Budget())


def timed(seconds: dict[str, float], pause_s: float = 0.0) -> TimedPlan:
    """Return the plan in which tasks of each kind take these seconds; an exec takes longer by its position."""
    spans, now_s, execs = [], 0.0, 0
    for i, task in enumerate(PLAN.tasks):
        execs += task.kind == "exec"
        end_s = now_s + seconds[task.kind] * (execs if task.kind == "exec" else 1)
        spans.append(Span(i, 0, now_s, now_s, end_s))
        now_s = end_s + pause_s
    return TimedPlan(PLAN, WORKLOAD, 2, tuple(reversed(spans)), 1.0)


def test_first_execution_of_a_size_counts_by_itself() -> None:
    """Layers of one size share their operators, so only the first of them in a worker is slow."""
    times = timed({"init": 0.0, "load": 0.0, "exec": 1.0, "free": 0.0}).layer_times()
    small, large = (LayerSize.of(layer) for layer in MADE_UP.layers[:2])
    # The executions take 1 to 6 s: those of the small layers 1, 3, 4 and 6, those of the large one 2 and 5.
    assert times == [LayerTime(small, 2, 1.0, 4.0), LayerTime(large, 2, 2.0, 5.0)]


def test_other_tasks_and_pauses_have_their_medians() -> None:
    """A free has a time per byte of its weights."""
    run = timed({"init": 0.25, "load": 0.0, "exec": 0.0, "free": 0.5}, pause_s=0.125)
    assert run.median_s("init") == 0.25
    assert run.pause_s() == 0.125
    assert run.free_s_per_byte() == pytest.approx(6 * 0.5 / (2 * MADE_UP.weight_bytes))
