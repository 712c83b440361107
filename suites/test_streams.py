"""Which policy answers in time if several networks are asked at rates of their own? Measures the mixes of today.

A frame that a newer one replaces is dropped, and so is what its answer would have triggered.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from models.today import TODAY_MIXES, consumer
from pytest_edgeload import Edge, Limit, Mix

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="the networks need the package transformers")


@pytest.mark.full
@pytest.mark.parametrize("mix", [pytest.param(make(), id=name) for name, make in TODAY_MIXES.items()])
def test_streams(
    edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str
) -> None:
    """Requests that are answered have the outputs of plain PyTorch."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail


@pytest.mark.quick
@pytest.mark.parametrize("edge_round", [0], ids=["round0"])
@pytest.mark.parametrize("edge_policy", ["lru", "stream"])
def test_more_weights_than_memory(
    edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str
) -> None:
    """Chat, captions and images have 1.2 GB of weights: servers unload networks, and `stream` keeps parts of them."""
    test_streams(edge, consumer(), edge_policy, edge_mem, edge_reader, edge_store)
