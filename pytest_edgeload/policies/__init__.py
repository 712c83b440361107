"""Loading policies: pure functions from a workload and a budget to a plan, one a file, and the table of them.

`FCFS` in the words of the study: the lane takes the ready task that was created first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_edgeload.plan import Budget, Plan
from pytest_edgeload.policies.bulk import bulk
from pytest_edgeload.policies.bulk_unchained import bulk_unchained
from pytest_edgeload.policies.linear import linear
from pytest_edgeload.policies.partial import partial
from pytest_edgeload.workload import Workload

Policy = Callable[[Workload, Budget], Plan]

POLICIES: Mapping[str, Policy] = {
    "bulk": bulk,
    "bulk-unchained": bulk_unchained,
    "linear": linear,
    "partial": partial,
}

REFERENCE = "bulk"
"""The policy that the others of a group are compared with."""
