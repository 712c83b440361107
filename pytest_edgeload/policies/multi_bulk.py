"""`multi-bulk`: load, execute and free whole networks as `bulk` does, as many at once as there are lanes.

Source: EdgeCaffe. init -> l_0..l_n -> e_0..e_n -> f_0..f_n per request; nothing between requests; one shared queue.
It wins over `bulk` if there is memory for several networks: one network loads while another is executed.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import load_execute_free
from pytest_edgeload.workload import Workload


def multi_bulk(workload: Workload, budget: Budget) -> Plan:
    """Per network: init, all loads, all execs, all frees in one chain; nothing chains the networks."""
    plan = Builder(workload, lanes=budget.lanes)
    for r, request in enumerate(workload.requests):
        step = plan.add("init", r)
        load_execute_free(plan, r, request, step)
    return plan.done()
