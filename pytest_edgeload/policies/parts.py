"""Parts that several policies share: priorities, lanes, patience and graphs. A policy imports this, never a policy."""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.workload import Workload

FIRST, LATER = 0.0, 1.0
"""Priorities: of tasks that make progress or free memory, and of tasks that take more memory."""

CONVOLUTIONAL, CONNECTED = 0, 1
"""Lanes of the policies that treat convolutional and fully connected layers differently."""

PATIENCE = 8
"""How many networks may begin before one that waits for memory: a few times the number that a device runs at once."""


def overlap(
    plan: Builder,
    workload: Workload,
    request: int,
    *,
    after: int | None = None,
    before: tuple[float, ...] = (),
    load: tuple[float, ...] = (),
    run: tuple[float, ...] = (),
    reserve: int = 0,
) -> int:
    """Add the tasks of `request` in the graph of `partial`, with its init waiting for `after`; return the last task.

    `before` is the priority of the init, which reserves `reserve` bytes; `load` is the priority of loads, and `run` the
    priority of execs and frees.
    """
    last = step = init = plan.add("init", request, after=after, priority=before, reserve=reserve)
    layers = range(len(workload.requests[request].network.layers))
    loads = [plan.add("load", request, i, after=init, priority=load) for i in layers]
    for i in layers:
        step = plan.add("exec", request, i, after=(loads[i], step), priority=run)
        last = plan.add("free", request, i, after=step, priority=run)
    return last


def done_s(workload: Workload, budget: Budget, request: int) -> tuple[float, float]:
    """Return the batch of `request`, and the time in it at which the request would be done if it ran alone."""
    asked = workload.requests[request]
    return asked.batch, asked.arrival_s + budget.speeds.service_s(asked.network)


def preload(workload: Workload, *, frugal: bool) -> Plan:
    """Return the plan of `deepeye-preload`, or of `deepeye-frugal`.

    If `frugal`, the fully connected layers of a network are loaded only when those of the network before it are freed.
    """
    plan = Builder(workload, lanes=2)
    freed = None
    for wave in workload.waves:
        freed = _add_wave(plan, workload, wave, freed, frugal=frugal)
    return plan.done()


def _add_wave(plan: Builder, workload: Workload, wave: list[int], freed: int | None, *, frugal: bool) -> int | None:
    """Add the tasks of `wave`; return the last free of a fully connected layer, `freed` if there is none."""
    networks = {r: workload.requests[r].network for r in wave}
    inits: dict[int, int] = {}
    loads: dict[tuple[int, int], int] = {}
    last: int | None = None
    for r in wave:
        last = inits[r] = plan.add("init", r, after=last, lane=CONVOLUTIONAL)
        for i in range(networks[r].convolutional_layers):
            last = loads[r, i] = plan.add("load", r, i, after=last, lane=CONVOLUTIONAL)
    step = last  # the first convolution waits for the last of the loads
    load: int | None = None
    for r in wave:
        side = networks[r].convolutional_layers
        for i in range(side):
            step = plan.add("exec", r, i, after=(step, loads[r, i]), lane=CONVOLUTIONAL)
            plan.add("free", r, i, after=step, lane=CONVOLUTIONAL)
        connected = range(side, len(networks[r].layers))
        for i in connected:
            waits = (inits[r], load, freed if frugal else None)
            load = loads[r, i] = plan.add("load", r, i, after=waits, lane=CONNECTED)
        done = step if side else inits[r]
        for i in connected:
            done = plan.add("exec", r, i, after=(done, loads[r, i]), lane=CONNECTED)
            freed = plan.add("free", r, i, after=done, lane=CONNECTED)
    return freed
