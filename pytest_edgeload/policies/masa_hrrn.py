"""`masa-hrrn`: as many networks at once as fit in memory, as `masa`, the highest response ratio next.

Source: EdgeCaffe. The response ratio is (waited + service time) / service time, so short requests go first and long
ones gain while they wait. EdgeCaffe divides by a mean that may be zero; here a request that takes no time goes at once.
Long requests are served as long as the device keeps up; under permanent overload they wait for ever. It wins over
`masa` if long requests must not fall far behind.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.parts import FIRST, LATER, PATIENCE, overlap
from pytest_edgeload.workload import Workload


def masa_hrrn(workload: Workload, budget: Budget) -> Plan:
    """Let each init wait until its network's peak fits; execs go first, then the highest response ratio."""
    plan = Builder(
        workload,
        lanes=budget.lanes,
        order="response-ratio",
        memory_bytes=budget.memory_bytes,
        patience=PATIENCE,
        service_s=tuple(budget.speeds.service_s(request.network) for request in workload.requests),
    )
    for r, request in enumerate(workload.requests):
        overlap(plan, workload, r, before=(LATER,), load=(LATER,), run=(FIRST,), reserve=request.network.peak_bytes)
    return plan.done()
