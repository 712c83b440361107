"""`deepeye-preload`: load the convolutional sides of all networks, then execute them network by network.

Source: EdgeCaffe of August 2020. Lane 0: the loads of all convolutional sides, chained, then their execs. Lane 1: the
loads of all fully connected sides, chained, and each side's execs once its network's convolutional side is done. `All
networks` are those that come together: no policy knows what comes later.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.deepeye import CONNECTED, CONVOLUTIONAL
from pytest_edgeload.workload import Workload


def deepeye_preload(workload: Workload, budget: Budget) -> Plan:
    """Per wave of requests: all convolutional layers loaded, then executed; the others loaded beside that."""
    return preload(workload, frugal=False)


def preload(workload: Workload, *, frugal: bool) -> Plan:
    """Return the plan; `frugal`: the fully connected layers of one network are loaded when the last one's are freed."""
    plan = Builder(workload, lanes=2)
    freed = None
    for wave in workload.waves:
        freed = _add_wave(plan, workload, wave, freed, frugal=frugal)
    return plan.done()


def _add_wave(plan: Builder, workload: Workload, wave: list[int], freed: int | None, *, frugal: bool) -> int | None:
    """Add the tasks of `wave`; return the last free of a fully connected layer, `freed` where there is none."""
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
