"""Networks whose first step has inputs of other shapes: a prompt of many tokens before steps of one token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload import tensors
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.engine import steps
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.networks.tile import REQUESTED, cut, tile_bytes
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import POLICIES, make_plan
from tests.builders import asked_steps, stored
from tests.engine.performers import execute, on_one_lane
from tests.exporting import prompted
from tests.exporting.prompted import PROMPT, STEPS, WIDTH


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stored decoder, with two samples."""
    module, samples = prompted.decoder()
    return stored(tmp_path_factory.mktemp("decoder"), module, *samples)


@pytest.mark.parametrize("policy", ["bulk", "linear", "stream"])
def test_prompt_comes_before_single_tokens(decoder: Path, policy: str) -> None:
    """After a prompt of several tokens, each step has one, whichever policy runs it; one step is the prompt alone."""
    asked = asked_steps(decoder, STEPS, STEPS, 1)
    plan = on_one_lane(make_plan(policy, POLICIES[policy], asked, Budget(1 << 15)))
    performer, _ = execute(plan, asked, decoder)
    for r in range(3):
        error, detail = performer.compare(r)
        assert error is not None, detail
        assert error <= performer.tolerance(r), detail
    assert performer.ledger.peak_bytes == peak_bytes(plan, asked)


def test_weights_are_those_of_both(decoder: Path) -> None:
    """Each layer has one set of weights and two lists of ops, and memory for the larger one."""
    network = read_graph(decoder)
    assert [layer.name for layer in network.layers] == ["table", "key", "query", "wide", "head"]
    for layer in network.layers:
        assert layer.first is not None
        assert layer.max_activation_bytes == layer.first.activation_bytes > layer.activation_bytes
        assert layer.first.flops == layer.flops * PROMPT
    assert cut(network, 0, 1 << 20) == (REQUESTED,)
    assert tile_bytes(network, 0, REQUESTED) == PROMPT * 4 * WIDTH


@pytest.mark.parametrize("wrong", [0, 1], ids=["token", "place"])
def test_wrong_token_or_place_after_the_prompt_is_noticed(
    decoder: Path, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outputs are wrong if a step gets another token, or a place that is one too small."""

    def fed(feed: Feed, outputs: Sequence[torch.Tensor], before: torch.Tensor | None) -> torch.Tensor:
        made = tensors.fed(feed, outputs, before)
        return made - 1 if feed.input == wrong else made

    asked = asked_steps(decoder, STEPS)
    monkeypatch.setattr(steps, "fed", fed)
    performer, _ = execute(make_plan("bulk", POLICIES["bulk"], asked, Budget()), asked, decoder)
    monkeypatch.undo()
    error, _ = performer.compare(0)
    assert error is None or error > performer.tolerance(0)


class Branching(nn.Module):
    """Uses other weights for several tokens than for one, in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.one, self.two = way, nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        """Return an output with as many rows as there are numbers."""
        is_first = n.numel() > 1
        if self.way == "order":
            x = self.one(self.two(x)) if is_first else self.two(self.one(x))
        elif self.way == "count":
            x = self.two(self.one(x)) if is_first else self.one(x)
        else:
            x = self.one(x) * torch.tensor([1.0, 2.0, 3.0, 4.0 + is_first])
        return x + n.reshape(-1)[:1]


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("order", "layer one: it has one.weight, but the first step has two.weight there; give a module that uses"),
        ("count", "the last layer: it has no weights, but the first step has two.weight there; give a module that"),
        ("constant", "layer one has other values of it in the first step; give a module that uses"),
    ],
)
def test_first_step_with_other_weights_is_refused(tmp_path: Path, way: str, reason: str) -> None:
    """A first step with other weights, or another order of them, is refused with the layer that differs."""
    inputs = Inputs((torch.rand(1, 4), torch.arange(3.0)), steps=2, feeds=(Feed(1, rule="next", last=True),))
    with pytest.raises(CannotExport, match=reason):
        stored(tmp_path, Branching(way), inputs)


def test_last_number_must_exist(tmp_path: Path) -> None:
    """A feed of the last number needs a rule that gives numbers, and an input with an axis."""
    with pytest.raises(BadArgument, match="last=True: not used by the rule same; leave it out"):
        Feed(0, last=True)
    inputs = Inputs((torch.rand(1, 4), torch.tensor(1.0)), steps=2, feeds=(Feed(1, rule="next", last=True),))
    with pytest.raises(CannotExport, match="the feed of input 1: the input is a single number, which has no last one"):
        stored(tmp_path, Branching("order"), inputs)
