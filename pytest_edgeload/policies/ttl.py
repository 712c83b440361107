"""`ttl`: `ttl(30s)` is as `lru`, and also frees a network that was not asked for 30 s.

Source: Ollama's keep-alive, five minutes if not set. The time counts from one arrival to the next of the same network;
a network that has been idle for longer is freed when the next request arrives.
It wins over `lru` only for others that share the memory; the requests of a network that was freed must load it again.
"""

from __future__ import annotations

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.units import parse_duration
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies.keeping import keep
from pytest_edgeload.policies.parameters import Policy
from pytest_edgeload.workload import Workload


def ttl(parameters: str) -> Policy:
    """Return the policy that frees a network after this time, such as `30s`. Raises UsageError for another text."""
    try:
        idle_s = parse_duration(parameters)
    except ValueError:
        given = Setting("policy", f"ttl({parameters})")
        raise UsageError(given, "no duration", "write one, as in ttl(30s) or ttl(5m)") from None

    def after_idle_time(workload: Workload, budget: Budget) -> Plan:
        """As `lru`, after the frees of networks that were idle for too long."""
        return keep(workload, budget, idle_s=idle_s)

    return after_idle_time
