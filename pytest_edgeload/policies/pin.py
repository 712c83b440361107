"""`pin`: with `pin(vad+faces)` these two networks stay in memory, and all others share the rest as with `lru`.

Source: `keep_alive: -1` of Ollama and the explicit control mode of Triton: the owner of a device knows which model must
answer at once.
It wins if the pinned networks are asked for often, and the others rarely.
"""

from __future__ import annotations

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies.keeping import keep
from pytest_edgeload.policies.parameters import Policy
from pytest_edgeload.workload import Workload


def pin(parameters: str) -> Policy:
    """Return the policy that pins these networks, such as `vad+faces`. Raises UsageError for an empty name."""
    names = tuple(parameters.split("+"))
    if not all(names):
        given = Setting("policy", f"pin({parameters})")
        raise UsageError(given, "lacks a name", "write names of networks, as in pin(vad+faces)")

    def pinned(workload: Workload, budget: Budget) -> Plan:
        """As `lru`, but the pinned networks are never freed for others."""
        return keep(workload, budget, pinned=names)

    return pinned
