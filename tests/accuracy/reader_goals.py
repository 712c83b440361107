"""Measures both readers that `auto` chooses between, for mixes and policies that load weights again.

    pytest tests/accuracy/reader_goals.py --edge-policy=bulk,linear,masa,partial --edge-reader=read,direct \
        --edge-mem=1G --edge-rounds=3 --edge-json=reader-goals.json
    edgeload report reader-goals.json --group-by=workload,policy --columns=reader,makespan,load,refaults,outcome

pytest does not collect this file by itself.
"""

from __future__ import annotations

import pytest

from models.mixes import large_3, mixed_3, run_pipeline, small_3
from pytest_edgeload import Edge, Limit, Mix

MIXES = [run_pipeline(), small_3(images=3), mixed_3(images=3), large_3(images=2)]


@pytest.mark.parametrize("mix", [pytest.param(mix, id=mix.name) for mix in MIXES])
def test_reader(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """A policy answers the mix within its limit."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
