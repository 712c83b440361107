"""`deepeye-frugal`: as `deepeye-preload`, with the fully connected side of one network in memory at a time.

Source: EdgeCaffe of August 2020. The first fully connected load of a network waits for the last free of such a layer of
the network before it. It wins over `deepeye-preload` if the fully connected sides do not fit in memory together.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies.parts import preload
from pytest_edgeload.workload import Workload


def deepeye_frugal(workload: Workload, budget: Budget) -> Plan:
    """As `deepeye-preload`; fully connected layers are loaded when those of the network before are freed."""
    return preload(workload, frugal=True)
