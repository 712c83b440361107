"""`deepeye-preload`: load the convolutional sides of all networks, then execute them network by network.

Source: EdgeCaffe of August 2020. Lane 0: the loads of all convolutional sides, chained, then their execs. Lane 1: the
loads of all fully connected sides, chained, and each side's execs after its network's convolutional side. "All
networks" are those that arrive together, because no policy knows later requests. It wins over `deepeye` if there is
memory for all convolutional sides at once.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies.parts import preload
from pytest_edgeload.workload import Workload


def deepeye_preload(workload: Workload, budget: Budget) -> Plan:
    """Per wave of requests: all convolutional layers loaded, then executed; the others are loaded meanwhile."""
    return preload(workload, frugal=False)
