"""How long until a request is answered when requests keep coming? An open loop at three loads, and a closed one."""

from __future__ import annotations

import pytest

from models.mixes import all_random, run_pipeline
from pytest_edgeload import Edge, Exponential, Limit, Mix

LOADS = {"light": 1.2, "normal": 1.0, "heavy": 0.8}
"""The study's loads: the mean time between arrivals, in mean service times. Shorter is heavier."""

MIXES = {"run-pipeline": run_pipeline(images=6), "all-random": all_random(images=30, seed=1)}
SEED = 2020


def _case(name: str, load: str) -> object:
    quick = name == "run-pipeline" and load == "heavy"
    return pytest.param(MIXES[name], load, id=f"{name}-{load}", marks=[pytest.mark.quick] if quick else [])


@pytest.mark.full
@pytest.mark.parametrize(("mix", "load"), [_case(name, load) for name in MIXES for load in LOADS])
def test_open_loop(edge: Edge, mix: Mix, load: str, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """Every request is answered, whatever is still being done when it comes."""
    every = Exponential(LOADS[load] * edge.service_s(mix))
    coming = mix.arriving(every, seed=SEED, arrivals=f"exponential, every {LOADS[load]:g} service times ({load})")
    measurement = edge.run(coming, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
    assert edge.disabled or measurement.arrived_s == tuple(ask.arrival_s for ask in coming.asks)


@pytest.mark.full
def test_closed_loop(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """The next image comes when all is known about the last."""
    measurement = edge.run(run_pipeline().closed(), policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
