"""`sjf`: the shortest job first, with ageing.

Source: EdgeCaffe. The graph of `partial`; execs first, then the loads and inits of the network with the shortest
service time. In EdgeCaffe a long job can starve. Here a job goes before another only if it would be done first had both
begun on arrival, so a job cannot be overtaken for ever. It wins in mean response time if requests differ in length.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import FIRST, LATER, done_s, overlap
from pytest_edgeload.workload import Workload


def sjf(workload: Workload, budget: Budget) -> Plan:
    """Order the graph of `partial`: execs first, then by arrival plus service time, loads before inits."""
    plan = Builder(workload, lanes=budget.lanes)
    for r in range(len(workload.requests)):
        turn = (LATER, *done_s(workload, budget, r))
        overlap(plan, workload, r, before=(*turn, LATER), load=(*turn, FIRST), run=(FIRST,))
    return plan.done()
