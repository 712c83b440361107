"""Streams of real networks: arrivals on time whatever the worker does, triggers, full queues, and right answers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.engine.lanes import run
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies import POLICIES, make_plan
from pytest_edgeload.workload import Condition, Mix, Workload
from pytest_edgeload.workload.arrivals import Constant, Periodic
from pytest_edgeload.workload.streams import Stream
from tests.builders import plan_of, stored
from tests.engine.performers import CallbackPerformer, execute


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a detector, whose output exceeds 0 for its first sample only, and a decoder that runs in steps."""
    torch.manual_seed(2)
    root = tmp_path_factory.mktemp("streams")
    detector = nn.Sequential(nn.Linear(8, 64, bias=False), nn.Linear(64, 1, bias=False))
    x = torch.randn(1, 8)
    found = x if float(detector(x).detach()) > 0 else -x
    decoder = nn.Sequential(nn.Embedding(32, 16), nn.Linear(16, 32))
    start = Inputs((torch.tensor([3]),), {}, 4, (Feed(0, rule="argmax"),))
    return {
        "detector": stored(root / "detector", detector, (found,), (-found,)),
        "decoder": stored(root / "decoder", decoder, start),
    }


MIX = Mix.of_streams(
    "home",
    [
        Stream("camera", "detector", Periodic(0.01, 0.002), queue=1),
        Stream("words", "decoder", after="camera", when=Condition(0, 0.0), steps=4),
        Stream("door", "detector", Constant(0.02), start_s=0.005),
    ],
    duration_s=0.06,
    seed=1,
)


def _asked(folders: dict[str, Path]) -> Workload:
    return MIX.workload({name: read_graph(folder) for name, folder in folders.items()})


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_answers_streams_as_plain_pytorch(folders: dict[str, Path], policy: str) -> None:
    """Under each policy frames arrive at their times, answers trigger sequences of steps, and all answers are right."""
    asked = _asked(folders)
    performer, result = execute(make_plan(policy, POLICIES[policy], asked, Budget(1 << 17)), asked, *folders.values())
    for r, ask in enumerate(MIX.asks):
        if ask.after is None:
            assert result.arrived_s[r] == ask.arrival_s
        elif ask.after not in result.dropped:
            assert (r in result.dropped) == (ask.sample % 2 == 1)
        if r not in result.dropped:
            error, detail = performer.compare(r)
            assert error is not None, detail
            assert error <= performer.tolerance(r), detail
    assert set(result.overrun) == {r for r in result.dropped if MIX.asks[r].stream == "camera"}


def test_a_slow_worker_delays_no_arrival(folders: dict[str, Path]) -> None:
    """If each task takes longer than a period, arrivals are still those of the mix, and a full queue drops frames."""
    asked = _asked(folders)
    performer = CallbackPerformer(lambda _: time.sleep(0.012))
    result = run(plan_of("linear", asked), performer, asked.requests)
    arrivals = [(r, ask.arrival_s) for r, ask in enumerate(MIX.asks) if ask.after is None]
    assert [(r, result.arrived_s[r]) for r, _ in arrivals] == arrivals
    assert result.overrun
