"""`linear`: one layer in memory at a time.

Source: the 2020 study. init -> l_0 -> e_0 -> f_0 -> l_1 -> e_1 -> f_1 ..., and so on to the next request: one chain.
It needs the least memory of all policies of whole layers, and wins if anything more would swap.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import STAGES, Budget, Builder, Plan
from pytest_edgeload.workload import Workload


def linear(workload: Workload, budget: Budget) -> Plan:
    """Per layer: load, exec, free; one strict chain over all layers of all networks, one lane."""
    plan, step = Builder(workload), None
    for r, request in enumerate(workload.requests):
        step = plan.add("init", r, after=step)
        with plan.loop(request.steps):
            for i in range(len(request.network.layers)):
                for kind in STAGES:
                    step = plan.add(kind, r, i, after=step)
    return plan.done()
