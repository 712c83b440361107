"""`bulk-unchained`: whole networks that do not wait for each other; the bulk of the 2020 study's measurements.

Source: the study. init -> l_0..l_n -> e_0, e_i -> e_(i+1), e_i -> f_i per request; nothing between requests.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.workload import Workload


def bulk_unchained(workload: Workload, budget: Budget) -> Plan:
    """Per network: init, loads chained, then execs chained, each layer freed after its exec.

    Nothing chains the networks. One lane serves them in turns, from a queue of what became ready first, so several
    networks are resident at once.
    """
    plan = Builder(workload, order="ready")
    for r, request in enumerate(workload.requests):
        layers = range(len(request.network.layers))
        step = plan.add("init", r)
        for i in layers:
            step = plan.add("load", r, i, after=step)
        for i in layers:
            step = plan.add("exec", r, i, after=step)
            plan.add("free", r, i, after=step)
    return plan.done()
