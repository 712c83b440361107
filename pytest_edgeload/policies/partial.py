"""`partial`: loads run ahead of execs on several lanes, and each layer is freed after its exec.

Source: the 2020 study's interleaving of loading and execution. init -> every l_i; l_i and e_(i-1) -> e_i -> f_i per
request; nothing between requests. It wins over `bulk` if there is memory to load ahead, because loading and execution
overlap.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import overlap
from pytest_edgeload.workload import Workload


def partial(workload: Workload, budget: Budget) -> Plan:
    """Per network: every load after init, each exec after its own load and the exec before it, then its free.

    Nothing chains the networks and nothing holds loads back: the lanes take the ready task that was created first.
    """
    plan = Builder(workload, lanes=budget.lanes)
    for r in range(len(workload.requests)):
        overlap(plan, workload, r)
    return plan.done()
