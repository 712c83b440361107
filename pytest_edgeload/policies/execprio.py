"""`execprio`: load ahead as `partial` does, but execute every layer that is ready before loading more.

Source: EdgeCaffe. The graph of `partial`; a ready exec goes before any load or init. It wins over `partial` if memory
is short, because layers leave memory as soon as they can.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import FIRST, LATER, overlap
from pytest_edgeload.workload import Workload


def execprio(workload: Workload, budget: Budget) -> Plan:
    """Put execs and frees first in the graph of `partial`."""
    plan = Builder(workload, lanes=budget.lanes)
    for r in range(len(workload.requests)):
        overlap(plan, workload, r, before=(LATER,), load=(LATER,), run=(FIRST,))
    return plan.done()
