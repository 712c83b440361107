"""The dispatcher in virtual time: what a plan would do, without doing it."""

from __future__ import annotations

from pytest_edgeload.dispatch import Dispatcher
from pytest_edgeload.plan import Plan, Task
from pytest_edgeload.workload import Workload


def peak_bytes(plan: Plan, workload: Workload) -> int:
    """Return the most bytes of weights and activations that `plan` holds at any moment.

    Exact for one lane. For several it is what a run in which every task takes the same time would reach.
    Raises ValueError for a plan whose tasks can never all run.
    """
    dispatcher = Dispatcher(plan)
    weights = peak = 0
    activations = [0] * len(workload.requests)
    while not dispatcher.finished:
        running = [index for _ in range(plan.lanes) if (index := dispatcher.take()) is not None]
        if not running:
            raise ValueError("the plan stops: tasks are left and none is ready")
        for index in running:
            task = plan.tasks[index]
            weights += _loads(task, workload)
            activations[task.request] = _during(task, workload, activations[task.request])
        peak = max(peak, weights + sum(activations))
        for index in running:
            task = plan.tasks[index]
            weights -= _frees(task, workload)
            activations[task.request] = _after(task, workload, activations[task.request])
            dispatcher.end(index)
    return peak


def _loads(task: Task, workload: Workload) -> int:
    return _weight_bytes(task, workload) if task.kind == "load" else 0


def _frees(task: Task, workload: Workload) -> int:
    return _weight_bytes(task, workload) if task.kind == "free" else 0


def _weight_bytes(task: Task, workload: Workload) -> int:
    layers = workload.requests[task.request].network.layers
    return 0 if task.layer is None else layers[task.layer].weight_bytes


def _during(task: Task, workload: Workload, held: int) -> int:
    network = workload.requests[task.request].network
    if task.kind == "init":
        return network.input_bytes
    return network.layers[task.layer].activation_bytes if task.kind == "exec" and task.layer is not None else held


def _after(task: Task, workload: Workload, held: int) -> int:
    layers = workload.requests[task.request].network.layers
    return layers[task.layer].carry_bytes if task.kind == "exec" and task.layer is not None else held
