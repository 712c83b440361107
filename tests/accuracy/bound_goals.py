r"""Measures how far `stream` is from its bounds, for the networks and mixes of the study.

    pytest tests/accuracy/bound_goals.py --edge-policy=stream --edge-reader=direct --edge-bound \
        --edge-mem=none,base+192M,base+96M --edge-rounds=5 --edge-json=bound-goals.json
    edgeload report bound-goals.json --group-by=policy \
        --columns=limit,makespan,bound_s,bound_memory_s,bound,memory_bound,load,exec,bound_compute_s,outcome

The second command prints one table, with the time that lanes spent reading and executing in it. Needs a quiet machine
and a disk that accepts O_DIRECT. `bound_parts` measures causes of the distance. pytest does not collect this file by
itself.
"""

from __future__ import annotations

import pytest

from models.mixes import large_3, mixed_3, run_pipeline
from pytest_edgeload import Edge, Limit, Mix

MIXES = [Mix.of("object_net", ["object_net"]), run_pipeline(), large_3(), mixed_3()]


@pytest.mark.parametrize("mix", [pytest.param(mix, id=mix.name) for mix in MIXES])
def test_distance(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """A policy answers the mix within its limit."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
