"""`partial`: loads run ahead of execs on several lanes; the 2020 study's interleaving of loading and execution."""

from __future__ import annotations

from pytest_edgeload.plan import Budget, Builder, Plan
from pytest_edgeload.workload import Workload


def partial(workload: Workload, budget: Budget) -> Plan:
    """Per network: every load after init, each exec after its own load and the exec before it, then its free.

    Nothing chains the networks and nothing holds loads back: the lanes take whichever ready task was created first.
    """
    plan = Builder(lanes=budget.lanes)
    for r, request in enumerate(workload.requests):
        step = init = plan.add("init", r)
        loads = [plan.add("load", r, i, after=init) for i in range(len(request.network.layers))]
        for i, load in enumerate(loads):
            step = plan.add("exec", r, i, after=(load, step))
            plan.add("free", r, i, after=step)
    return plan.done()
