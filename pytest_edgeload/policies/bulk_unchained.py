"""`bulk-unchained`: load whole networks that do not wait for each other, and execute them in turns.

Source: the 2020 study, which measured this as its bulk. init -> l_0..l_n -> e_0, e_i -> e_(i+1), e_i -> f_i per
request; nothing between requests. Several networks are in memory at once, so it wins only if they all fit.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import execute_free
from pytest_edgeload.workload import Workload


def bulk_unchained(workload: Workload, budget: Budget) -> Plan:
    """Per network: loads chained, then execs chained, each layer freed after its exec; nothing chains the networks.

    One lane serves the networks in turns: it takes the task that became ready first.
    """
    plan = Builder(workload, order="ready")
    for r, request in enumerate(workload.requests):
        layers = range(len(request.network.layers))
        step = plan.add("init", r)
        loads = [step := plan.add("load", r, i, after=step) for i in layers]
        execute_free(plan, r, request, step, loads, [None] * len(layers))
    return plan.done()
