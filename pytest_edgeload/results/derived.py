"""The figures of a measurement that follow from its plan and the spans of its tasks. Pure functions."""

from __future__ import annotations

import msgspec

from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.results.record import Measurement
from pytest_edgeload.results.service import figures
from pytest_edgeload.results.steps import steps
from pytest_edgeload.workload import Workload


def complete(measurement: Measurement, plan: Plan, workload: Workload, plan_peak_bytes: int) -> Measurement:
    """Return `measurement` with the figures that follow from the plan and the task spans."""
    found: dict[str, object] = {"plan_peak_bytes": plan_peak_bytes}
    if measurement.tasks:
        seconds = {"init": 0.0, "load": 0.0, "exec": 0.0, "free": 0.0}
        for span in measurement.tasks:
            seconds[plan.tasks[span.task].kind] += span.end_s - span.start_s
        found |= {"load_s": seconds["load"], "exec_s": seconds["exec"]}
        found["wait_s"] = sum(span.start_s - span.ready_s for span in measurement.tasks)
        found |= figures(plan, workload, measurement.tasks, measurement.arrived_s, measurement.dropped)
        found["steps"] = steps(plan, workload)
    return msgspec.structs.replace(measurement, **found)
