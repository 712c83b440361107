"""`masa`: the shortest network first, and only as many at once as fit the memory.

Source: Masa (PerCom 2021) as read off EdgeCaffe. The graph of `partial`; execs first; a network begins when all it may
ever hold fits what others left of the memory, or nothing else runs. Answers stay, and are in no account. There a large
network can starve, its need is zero unless measured by hand, and one that is oversized blocks everything; here jobs age
as in `sjf`, one that waits for memory is passed over a limited number of times, and needs come from the network itself.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.partial import FIRST, LATER, overlap
from pytest_edgeload.policies.sjf import done_s
from pytest_edgeload.workload import Workload

PATIENCE = 8
"""How many networks may begin before one that waits for memory: a few times what a device runs at once."""


def masa(workload: Workload, budget: Budget) -> Plan:
    """Let each init of `sjf` wait until its network's need fits the memory."""
    plan = Builder(workload, lanes=budget.lanes, memory_bytes=budget.memory_bytes, patience=PATIENCE)
    for r, request in enumerate(workload.requests):
        turn = (LATER, *done_s(workload, budget, r))
        need = request.network.peak_bytes
        overlap(plan, workload, r, before=(*turn, LATER), load=(*turn, FIRST), run=(FIRST,), reserve=need)
    return plan.done()
