"""`lru-layers`: layers stay in memory; those that were used longest ago are freed until the next one fits.

Source: the rule of the page cache, by layer: what mapped weights do. Per layer: f of others -> l_i, if the layer is not
in memory -> e_i; one chain over all requests.
It wins over `lru` if a single network exceeds the memory, which `lru` loads all the same. Such a network is read
completely each time, because the layer that was used longest ago is the next one.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies.keeping import by_layer, keep
from pytest_edgeload.workload import Workload


def lru_layers(workload: Workload, budget: Budget) -> Plan:
    """Per layer: frees of the layers used longest ago until it fits, its load if needed, its exec."""
    return keep(workload, budget, by_layer)
