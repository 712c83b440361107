"""Words for tasks in messages. Pure."""

from __future__ import annotations

from pytest_edgeload.networks.tile import Tile
from pytest_edgeload.planning.plan import Task


def describe(index: int, task: Task, step: int | None = None) -> str:
    """Return words for a task: `task 7 (exec of request 0, layer 2)`, followed by its step if that is given."""
    return f"task {index} ({task.kind} of {task_words(task)}{'' if step is None else f', step {step}'})"


def task_words(task: Task) -> str:
    """Return words for the target of a task."""
    return target_words(task.request, task.layer, task.tile)


def target_words(request: int, layer: int | None, tile: Tile) -> str:
    """Return words for the request, the layer and the rows that a task is about."""
    of_layer = "" if layer is None else f", layer {layer}"
    rows = f", rows {tile[0]} to {tile[1]}" if isinstance(tile, tuple) else ""
    return f"request {request}{of_layer}{rows}"
