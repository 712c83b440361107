"""`lru`: networks stay in memory; the one that was used longest ago is freed until the next one fits.

Source: what Ollama, llama-server and Triton do with models, by bytes. Per request: init -> f of others -> l_0..l_n, if
its network is not in memory -> e_0..e_n; one chain over all requests.
It wins if the networks that are asked for again fit in memory together.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies.keeping import keep
from pytest_edgeload.workload import Workload


def lru(workload: Workload, budget: Budget) -> Plan:
    """Per request: frees of the networks used longest ago until its own fits, its loads if needed, all execs."""
    return keep(workload, budget)
