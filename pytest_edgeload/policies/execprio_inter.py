"""`execprio-inter`: execute before loading as `execprio` does, one network after the other.

Source: EdgeCaffe. The graph of `partial`; a request's init waits for the last task of the request before it. It wins
over `execprio` if memory holds one network but not several.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import FIRST, LATER, overlap
from pytest_edgeload.workload import Workload


def execprio_inter(workload: Workload, budget: Budget) -> Plan:
    """Put execs and frees first in the graph of `partial`; no two networks run at the same time."""
    plan, last = Builder(workload, lanes=budget.lanes), None
    for r in range(len(workload.requests)):
        last = overlap(plan, workload, r, after=last, before=(LATER,), load=(LATER,), run=(FIRST,))
    return plan.done()
