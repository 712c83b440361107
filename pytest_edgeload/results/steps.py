"""What the tasks of a plan are about, in words and bytes, kept beside the times they took. Pure functions."""

from __future__ import annotations

from pytest_edgeload.networks.tile import tile_bytes
from pytest_edgeload.planning.plan import Plan, Task
from pytest_edgeload.results.record import Step
from pytest_edgeload.workload import Workload


def steps(plan: Plan, workload: Workload) -> tuple[Step, ...]:
    """Return what each task of `plan` is about, in the plan's order."""
    return tuple(Step(t.kind, t.request, _layer(t, workload), weight_bytes(t, workload)) for t in plan.tasks)


def _layer(task: Task, workload: Workload) -> str:
    if task.layer is None:
        return ""
    return workload.requests[task.request].network.layers[task.layer].name + rows(task)


def rows(task: Task) -> str:
    """Return words for the part of the layer that the task is about; nothing for all of it."""
    if isinstance(task.rows, tuple):
        return f" [{task.rows[0]}:{task.rows[1]}]"
    return "" if task.rows is None else f" [{task.rows}]"


def weight_bytes(task: Task, workload: Workload) -> int:
    """Return the bytes of the weights that the task is about; 0 for an init."""
    network = workload.requests[task.request].network
    return 0 if task.layer is None else tile_bytes(network, task.layer, task.rows)
