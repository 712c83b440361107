"""Every policy serves mixes of streams: in virtual time, and two of them in workers."""

from __future__ import annotations

import pytest

from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import Simulation, simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Mix
from pytest_edgeload.workload.arrivals import Gamma, Periodic, Poisson
from pytest_edgeload.workload.streams import Stream
from tests.builders import SPEEDS, network

NETWORKS = {
    "detector": network((8, 2, 1), (16, 1, 1), flops=[4, 4], name="detector"),  # 4 s alone
    "faces": network((4, 1, 1), flops=[2], name="faces"),
    "keyword": network((2, 1, 1), (2, 1, 1), flops=[1, 1], name="keyword"),
    "speech": network((40, 1, 1), name="speech"),
}
MIX = Mix.of_streams(
    "home",
    [
        Stream("camera", "detector", Periodic(2.0, 0.25), queue=1),
        Stream("faces", "faces", after="camera", when=Condition(0, 0.5), queue=2),
        Stream("keyword", "keyword", Gamma(1.0, 0.25), queue=3),
        Stream("speech", "speech", after="keyword", probability=0.25, deadline_s=9.0),
        Stream("door", "keyword", Poisson(0.25), start_s=5.0),
    ],
    duration_s=30.0,
    seed=3,
)


def _served(policy: str, memory_bytes: int | None) -> Simulation:
    """Return the simulation of the mix, in which every third condition fails."""
    asked = MIX.workload(NETWORKS)
    plan = POLICIES[policy](asked, Budget(memory_bytes, 2, SPEEDS))
    check_plan(plan, asked)
    return simulate(plan, asked, speeds=SPEEDS, holds=lambda r: r % 3 > 0)


@pytest.mark.parametrize("memory_bytes", [None, 48])
@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_policy_serves_streams(policy: str, memory_bytes: int | None) -> None:
    """A request of a stream that nothing triggers arrives at its time in the mix, and all streams get answers."""
    simulated = _served(policy, memory_bytes)
    for ask, arrived_s in zip(MIX.asks, simulated.arrived_s, strict=True):
        assert arrived_s == ask.arrival_s if ask.after is None else (arrived_s or 0.0) >= ask.arrival_s
    answered = {ask.stream for r, ask in enumerate(MIX.asks) if r not in simulated.dropped}
    assert answered == {"camera", "faces", "keyword", "speech", "door"}
    assert set(simulated.overrun) <= set(simulated.dropped)
    assert all(MIX.asks[r].queue is not None for r in simulated.overrun)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_queue_bounds_what_waits(policy: str) -> None:
    """When a camera's last frame arrives, no older one waits beside it: each was begun, answered or dropped."""
    simulated = _served(policy, None)
    asked = MIX.workload(NETWORKS)
    plan = POLICIES[policy](asked, Budget(None, 2, SPEEDS))
    frames = [r for r, ask in enumerate(MIX.asks) if ask.stream == "camera"]
    last_s = MIX.asks[frames[-1]].arrival_s
    for r in set(frames[:-1]).difference(simulated.dropped):
        work = (
            s.start_s for s in simulated.spans if plan.tasks[s.task].request == r and plan.tasks[s.task].kind != "init"
        )
        assert min(work) <= last_s
