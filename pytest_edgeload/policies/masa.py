"""`masa`: the shortest network first, and only as many networks at once as fit in memory.

Source: Masa (PerCom 2021), as implemented in EdgeCaffe. The graph of `partial`; execs first; a network begins when the
most it can hold fits in the memory that others left, or nothing else runs. Answers stay in memory and are not counted.
EdgeCaffe lets a large network starve, takes a network's need from a measurement by hand (zero without one), and stops
at a network that is larger than the memory. Here jobs age as in `sjf`, a network that waits for memory is passed over a
limited number of times, and the need follows from the network itself.
It wins if several networks compete for memory that holds only some of them.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import FIRST, LATER, PATIENCE, done_s, overlap
from pytest_edgeload.workload import Workload


def masa(workload: Workload, budget: Budget) -> Plan:
    """Let each init of `sjf` wait until its network's peak fits in memory."""
    plan = Builder(workload, lanes=budget.lanes, memory_bytes=budget.memory_bytes, patience=PATIENCE)
    for r, request in enumerate(workload.requests):
        turn = (LATER, *done_s(workload, budget, r))
        peak_bytes = request.network.peak_bytes
        overlap(plan, workload, r, before=(*turn, LATER), load=(*turn, FIRST), run=(FIRST,), reserve=peak_bytes)
    return plan.done()
