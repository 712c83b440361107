"""Pipelines: requests compute with the outputs of earlier ones, under each policy, and are dropped with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.measuring.fed_samples import check_fed_samples
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.planning.plan import Budget, InvalidPlan
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES, make_plan
from pytest_edgeload.workload import Condition, Request, Workload
from tests.builders import stored
from tests.engine.performers import execute, on_one_lane

WIDTH, FRAMES, TOKENS, STEPS = 32, 6, 40, 5
NEVER = 1e9
"""A number that exceeds all outputs here."""


class Encoder(nn.Module):
    """Returns states, and a number for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow, self.head = nn.Linear(8, 64), nn.Linear(64, WIDTH), nn.Linear(WIDTH, TOKENS)

    def forward(self, sound: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the states of all frames, and the first token."""
        states = self.narrow(torch.relu(self.wide(sound)))
        return states, self.head(states.mean(1, keepdim=True))


class Decoder(nn.Module):
    """Looks at the states of all frames in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.query, self.head = (
            nn.Embedding(TOKENS, WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Linear(WIDTH, TOKENS),
        )

    def forward(self, token: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Return a number for each token."""
        x = self.table(token)
        weights = torch.softmax(self.query(x) @ states.transpose(1, 2), -1)
        return torch.as_tensor(self.head(torch.tanh(x + weights @ states)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an encoder and a decoder, whose sample was made with the encoder's outputs for its own sample."""
    torch.manual_seed(4)
    root = tmp_path_factory.mktemp("speech")
    encoder, decoder, sound = Encoder().eval(), Decoder().eval(), torch.randn(1, FRAMES, 8)
    states, numbers = encoder(sound)
    start = Inputs((numbers.argmax(-1),), {"states": states.detach()}, STEPS, (Feed(0, rule="argmax"),))
    other = 10 * torch.randn(1, FRAMES, 8)
    return stored(root / "encoder", encoder, (sound,), (other,)), stored(root / "decoder", decoder, start)


FEEDS = (Feed("states", 0, request=0), Feed("token", 1, "argmax", 0))


def _speech(folders: tuple[Path, Path], feeds: tuple[Feed, ...] = FEEDS, sound: int = 0) -> Workload:
    """Return a request of the encoder, and two of the decoder that it feeds, of several steps and of one."""
    encoder, decoder = map(read_graph, folders)
    requests = (Request(encoder, sound), Request(decoder, steps=STEPS, feeds=feeds), Request(decoder, feeds=feeds))
    return Workload("speech", requests)


@pytest.mark.parametrize("policy", POLICIES)
def test_pipeline_gives_the_outputs_of_plain_pytorch(folders: tuple[Path, Path], policy: str) -> None:
    """Under each policy all tokens and outputs are those of plain PyTorch, at the peak that is foretold to the byte."""
    asked = _speech(folders)
    plan = on_one_lane(make_plan(policy, POLICIES[policy], asked, Budget(1 << 17)))
    performer, _ = execute(plan, asked, *folders)
    for r in range(3):
        error, detail = performer.compare(r)
        assert error is not None, detail
        assert error <= performer.tolerance(r), detail
    assert performer.ledger.peak_bytes == simulate(plan, asked).peak_bytes


def test_fed_values_replace_those_of_the_sample(folders: tuple[Path, Path]) -> None:
    """A decoder that is fed the states of another sound computes with these, so its outputs are not its sample's."""
    asked = _speech(folders, sound=1)
    performer, _ = execute(make_plan("linear", POLICIES["linear"], asked, Budget()), asked, *folders)
    for r in (1, 2):
        error, _ = performer.compare(r)
        assert error is None or error > performer.tolerance(r)


@pytest.mark.parametrize(
    ("feed", "reason"),
    [
        (
            FEEDS[0],
            r"states of its sample 0 is not output 0 of request 0 \(stored\): they differ by [\d.]+% of its ",
        ),
        (
            FEEDS[1],
            r"token of its sample 0 is not output 1 of request 0 \(stored\): it is \[\d+\] instead of \[\d+\]; ",
        ),
    ],
)
def test_sample_made_with_other_values_is_refused(folders: tuple[Path, Path], feed: Feed, reason: str) -> None:
    """A sample with other states, or another token, than the encoder gives is refused before the run."""
    check_fed_samples(_speech(folders), [folders[0], folders[1], folders[1]])
    with pytest.raises(UsageError, match=f"^workload speech, request 1: {reason}"):
        check_fed_samples(_speech(folders, feeds=(feed,), sound=1), [folders[0], folders[1], folders[1]])


@pytest.mark.parametrize("policy", ["bulk", "deepeye-preload", "masa", "stream"])
def test_dropped_request_drops_those_that_it_feeds(folders: tuple[Path, Path], policy: str) -> None:
    """If a condition drops a request, the requests that it feeds are dropped too, and nothing of theirs is kept."""
    encoder, decoder = map(read_graph, folders)
    fed = tuple(Feed(feed.input, feed.output, feed.rule, 1) for feed in FEEDS)
    requests = (Request(encoder), Request(encoder, when=Condition(0, NEVER)), Request(decoder, feeds=fed))
    for conditions in ("wait", "early"):
        asked = Workload("speech", requests, conditions)
        plan = make_plan(policy, POLICIES[policy], asked, Budget(1 << 17))
        performer, result = execute(plan, asked, *folders)
        assert result.dropped == (1, 2)
        assert [bool(performer.values(r)) for r in range(3)] == [True, False, False]
        assert performer.ledger.held_bytes - plan.arena_bytes == encoder.answer_bytes


def test_plan_that_does_not_wait_for_its_input_is_refused(folders: tuple[Path, Path]) -> None:
    """A plan whose request begins before the request that feeds it is answered is refused by the check."""
    alone = _speech(folders, feeds=())
    with pytest.raises(InvalidPlan, match=r"\(init of request 1\): does not wait for the exec of request 0, layer 2;"):
        make_plan("own", lambda _, budget: POLICIES["partial"](alone, budget), _speech(folders), Budget())
