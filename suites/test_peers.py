"""How do the policies compare with what people use today? Each peer beside what --edge-policy names."""

from __future__ import annotations

import pytest

from models.mixes import large_3, run_pipeline
from pytest_edgeload import Edge, Limit, Mix
from suites.peers import missing

MIXES = (Mix.of("age_net", ["age_net"]), Mix.of("object_net", ["object_net"]), run_pipeline(), large_3())
QUICK = {"age_net"}


def _case(mix: Mix) -> object:
    return pytest.param(mix, id=mix.name, marks=[pytest.mark.quick] if mix.name in QUICK else [])


@pytest.mark.full
@pytest.mark.parametrize("mix", [_case(mix) for mix in MIXES])
def test_peers(edge: Edge, mix: Mix, edge_peer: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """All is answered as plain PyTorch answers it, whoever loads the weights."""
    reason = missing(edge_peer)
    if reason is not None:
        pytest.skip(reason)
    measurement = edge.run(mix, policy=edge_peer, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
