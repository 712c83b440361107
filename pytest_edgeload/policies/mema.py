"""`mema`: interleave layers of different networks by the memory that each layer needs.

Source: the idea of MemA (PerCom workshops 2021), whose code is not public. While one network waits for memory to load a
large fully connected layer, others load and execute their small convolutions. Loads of one request come in order, so
that everything in memory can be executed and freed, and no two networks wait for each other's memory for ever.
It wins if memory holds single large layers, but not whole networks.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import FIRST, LATER, PATIENCE
from pytest_edgeload.workload import Workload


def mema(workload: Workload, budget: Budget) -> Plan:
    """Per network: loads chained, each reserving its layer's bytes; each exec after its load and the exec before.

    Execs go first. Of the loads, the first is the one that would be done first had it begun when its request arrived:
    small layers (mostly convolutions) before large ones, and no layer for ever after newer ones.
    """
    plan = Builder(workload, lanes=budget.lanes, memory_bytes=budget.memory_bytes, patience=PATIENCE)
    for r, request in enumerate(workload.requests):
        since = (LATER, float(request.batch), request.arrival_s)
        load = step = plan.add("init", r, priority=since)
        first = 1 + load
        with plan.loop(request.steps, overlapping=True) as loop:
            for i, layer in enumerate(request.network.layers):
                done_s = request.arrival_s + budget.speeds.load_s(layer)
                load = plan.add("load", r, i, after=load, priority=(*since[:2], done_s), reserve=layer.weight_bytes)
                step = plan.add("exec", r, i, after=(load, step), priority=(FIRST,))
                plan.add("free", r, i, after=step, priority=(FIRST,))
            loop.carry(first, load)  # in order from step to step, too: else two steps wait for each other's memory
    return plan.done()
