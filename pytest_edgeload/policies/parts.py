"""Parts that several policies share: priorities, lanes, patience and graphs. A policy imports this, never a policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.workload import Request, Workload

FIRST, LATER = 0.0, 1.0
"""Priorities: of tasks that make progress or free memory, and of tasks that take more memory."""

CONVOLUTIONAL, CONNECTED = 0, 1
"""Lanes of the policies that treat convolutional and fully connected layers differently."""

PATIENCE = 8
"""How many networks may begin before one that waits for memory: a few times the number that a device runs at once."""

SCRATCH_BYTES, CONVOLUTION_SCRATCH_BYTES = 8 << 20, 24 << 20
"""Memory of the operators besides weights and activations, without convolutions and with them (up to 30 MiB if VGG-19
and two AlexNets take turns)."""


def scratch_bytes(networks: Iterable[Network], memory_bytes: int) -> int:
    """Return the memory to set aside for operators, besides weights and activations: at most a quarter of it all."""
    has_convolutions = any(layer.is_convolution for network in networks for layer in network.layers)
    return min(CONVOLUTION_SCRATCH_BYTES if has_convolutions else SCRATCH_BYTES, memory_bytes // 4)


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
    with plan.loop(workload.requests[request].steps, overlapping=True):
        loads = [plan.add("load", request, i, after=init, priority=load) for i in layers]
        for i in layers:
            step = plan.add("exec", request, i, after=(loads[i], step), priority=run)
            last = plan.add("free", request, i, after=step, priority=run)
    return last


def load_execute_free(plan: Builder, r: int, request: Request, init: int) -> int:
    """Add all loads of request `r`, then the execs of each step, then all frees, in one chain; return its last task."""
    layers, step = range(len(request.network.layers)), init
    for i in layers:
        step = plan.add("load", r, i, after=step)
    with plan.loop(request.steps):
        for i in layers:
            step = plan.add("exec", r, i, after=step)
    for i in layers:
        step = plan.add("free", r, i, after=step)
    return step


def execute_free(
    plan: Builder, r: int, request: Request, begin: int | None, loads: Sequence[int], lanes: Sequence[int | None]
) -> tuple[list[int], list[int]]:
    """Add the execs of request `r` in one chain after `begin`, and a free of each layer after its last exec.

    `loads` and `lanes` have the load and the lane of each layer. Return the execs and the frees.
    """
    execs: list[int] = []
    frees: list[int] = []

    def free(i: int) -> None:
        frees.append(plan.add("free", r, i, after=execs[i], lane=lanes[i]))

    with plan.loop(request.steps):
        for i, load in enumerate(loads):
            begin = plan.add("exec", r, i, after=(begin, load), lane=lanes[i])
            execs.append(begin)
            if request.steps == 1:  # else the weights are needed again
                free(i)
    for i in range(len(frees), len(loads)):
        free(i)
    return execs, frees


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
        side, count = networks[r].convolutional_layers, len(networks[r].layers)
        for i in range(side, count):
            waits = (inits[r], load, freed if frugal else None)
            load = loads[r, i] = plan.add("load", r, i, after=waits, lane=CONNECTED)
        own = [loads[r, i] for i in range(count)]
        lanes = [CONVOLUTIONAL] * side + [CONNECTED] * (count - side)
        execs, frees = execute_free(plan, r, workload.requests[r], step if side else inits[r], own, lanes)
        step = execs[side - 1] if side else step
        freed = frees[-1] if count > side else freed
    return freed
