"""What does each network cost on its own? Measures every network alone, under every policy and memory limit.

One case has a limit of its own, whatever --edge-mem is: the largest network in less memory than its weights take.
"""

from __future__ import annotations

import pytest

from models import NETWORKS
from pytest_edgeload import Edge, Limit, Mix


@pytest.mark.full
@pytest.mark.parametrize("network", [pytest.param(Mix.of(name, [name]), id=name) for name in NETWORKS])
def test_network(
    edge: Edge, network: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str
) -> None:
    """One inference of one network, from a cold cache, gives the outputs of plain PyTorch."""
    measurement = edge.run(network, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail


@pytest.mark.full
@pytest.mark.quick
@pytest.mark.parametrize("edge_mem", ["512M"])
def test_largest_network_in_too_little_memory(
    edge: Edge, edge_policy: str, edge_mem: str, edge_reader: str, edge_store: str
) -> None:
    """VGG-19 has 575 MB of weights. Even policies that free each layer after its exec swap, unless they wait."""
    measurement = edge.run(["object_net"], policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
