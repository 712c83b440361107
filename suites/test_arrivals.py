"""How long does a request wait when requests keep coming? Measures open loops at three loads and a closed loop.

In the open loop, requests arrive at random; at the heavy load they arrive faster than the machine can serve them. In
the closed loop, each image arrives when all requests about the last one are answered.
"""

from __future__ import annotations

import pytest

from models.mixes import all_random, run_pipeline
from pytest_edgeload import Edge, Exponential, Limit, Mix

LOADS = {"light": 1.2, "normal": 1.0, "heavy": 0.8}
"""The loads of the 2020 study: mean time between arrivals, in mean service times. A shorter time is a heavier load."""

MIXES = {"run-pipeline": run_pipeline(images=6), "all-random": all_random(images=30, seed=1)}
SEED = 2020


@pytest.mark.full
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("mix", [pytest.param(mix, id=name) for name, mix in MIXES.items()])
def test_open_loop(
    edge: Edge, mix: Mix, load: str, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str
) -> None:
    """Every request arrives on schedule and is answered, even while earlier ones are still running."""
    scheduled = mix.in_service_times().arriving(Exponential(LOADS[load]), seed=SEED)
    measurement = edge.run(scheduled, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
    unit_s = measurement.service_time_s or 0.0
    assert edge.disabled or measurement.arrived_s == tuple(ask.arrival_s * unit_s for ask in scheduled.asks)


@pytest.mark.quick
@pytest.mark.parametrize("edge_round", [0], ids=["round0"])
def test_heavy_load_once(
    edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str
) -> None:
    """The main mix at the heavy load, in one round: enough for the claims of test_claims.py, but not for a winner."""
    test_open_loop(edge, MIXES["run-pipeline"], "heavy", edge_policy, edge_mem, edge_reader, edge_store)


@pytest.mark.full
def test_closed_loop(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str) -> None:
    """Each image arrives when all requests about the one before are answered."""
    measurement = edge.run(
        run_pipeline().closed(), policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store
    )
    assert measurement.outcome == "ok", measurement.detail
