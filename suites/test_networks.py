"""What does each network cost on its own? Measures every network alone, under every policy and memory limit."""

from __future__ import annotations

import pytest

from models import NETWORKS
from pytest_edgeload import Edge, Limit, Mix

QUICK = {"object_net"}
"""The largest network, VGG-19."""


def _case(name: str) -> object:
    return pytest.param(Mix.of(name, [name]), id=name, marks=[pytest.mark.quick] if name in QUICK else [])


@pytest.mark.full
@pytest.mark.parametrize("network", [_case(name) for name in NETWORKS])
def test_network(edge: Edge, network: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """One inference of one network, from a cold cache, gives the outputs of plain PyTorch."""
    measurement = edge.run(network, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
