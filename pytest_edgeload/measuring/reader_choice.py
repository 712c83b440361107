"""The choice of the reader `auto`: the best one for a plan, its memory and the file system. Pure, but for one read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.tile import Tile, tile_bytes
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.workload import Workload

DIRECT, THROUGH_CACHE = "direct", "read"


def accept_direct(files: Iterable[Path]) -> bool:
    """Return whether the file systems of all `files` let the reader `direct` read past the page cache."""
    for file in files:
        reader = READERS[DIRECT](file)
        reader.close()
        if reader.notice is not None:
            return False
    return True


def best_reader(plan: Plan, workload: Workload, memory_bytes: int | None) -> str:
    """Return `direct`, or `read` if the page cache can serve weights that the plan loads again.

    It can if it has room for all of them beside the peak of the plan: read in a circle, it would lose each weight
    before that is needed again. `memory_bytes` is the budget, None without a limit. A plan with places for its weights
    has chosen what stays in memory.
    """
    again_bytes = reloaded_bytes(plan, workload)
    if plan.arena_bytes or not again_bytes:
        return DIRECT
    if memory_bytes is None or again_bytes <= memory_bytes - peak_bytes(plan, workload):
        return THROUGH_CACHE
    return DIRECT


def reloaded_bytes(plan: Plan, workload: Workload) -> int:
    """Return the bytes of the weights that a plan loads more than once, each counted once."""
    loads: dict[tuple[str, int, Tile], int] = {}
    sizes: dict[tuple[str, int, Tile], int] = {}
    for index, task in enumerate(plan.tasks):
        if task.kind == "load" and task.layer is not None:
            network = workload.requests[task.request].network
            weights = (network.name, task.layer, task.tile)
            steps = next((loop.steps for loop in plan.loops if index in loop), 1)
            loads[weights] = loads.get(weights, 0) + steps
            sizes[weights] = tile_bytes(network, task.layer, task.tile)
    return sum(sizes[weights] for weights, count in loads.items() if count > 1)
