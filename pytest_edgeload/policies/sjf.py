"""`sjf`: the shortest job first, with ageing.

Source: EdgeCaffe. The graph of `partial`; execs first, then the loads and inits of the network with the least service
time. There, a long job can starve; here a job goes before another only if it would be done first had both begun when
they arrived, so nothing that comes later than that can pass it.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.partial import FIRST, LATER, overlap
from pytest_edgeload.workload import Workload


def sjf(workload: Workload, budget: Budget) -> Plan:
    """Order the graph of `partial`: execs first, then by arrival plus service time, loads before inits."""
    plan = Builder(workload, lanes=budget.lanes)
    for r in range(len(workload.requests)):
        turn = (LATER, *done_s(workload, budget, r))
        overlap(plan, workload, r, before=(*turn, LATER), load=(*turn, FIRST), run=(FIRST,))
    return plan.done()


def done_s(workload: Workload, budget: Budget, request: int) -> tuple[float, float]:
    """Return the batch of `request`, and when in it the request would be done had it the machine to itself."""
    asked = workload.requests[request]
    return asked.batch, asked.arrival_s + budget.speeds.service_s(asked.network)
