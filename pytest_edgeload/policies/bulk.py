"""`bulk`: load a whole network, execute it, free it, then the next network.

Source: the 2020 study. init -> l_0..l_n -> e_0..e_n -> f_0..f_n, and so on to the next request: one chain.
This is plain PyTorch, and the reference of every comparison. It wins if each network fits in memory and the disk is
fast.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import load_execute_free
from pytest_edgeload.workload import Workload


def bulk(workload: Workload, budget: Budget) -> Plan:
    """Per network: init, all loads, all execs, all frees; one strict chain over all networks, one lane."""
    plan, step = Builder(workload), None
    for r, request in enumerate(workload.requests):
        step = plan.add("init", r, after=step)
        step = load_execute_free(plan, r, request, step)
    return plan.done()
