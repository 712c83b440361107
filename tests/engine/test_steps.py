"""The steps of a request: each gets its inputs from the one before, and the outputs are those of plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload import tensors
from pytest_edgeload.engine import steps
from pytest_edgeload.engine.compare import PartedSteps
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import GRAPH, read_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import POLICIES, make_plan
from tests.builders import asked_steps, stored
from tests.engine.performers import execute

WIDTH, TOKENS, PLACES, STEPS = 48, 64, 16, 9


class Decoder(nn.Module):
    """A decoder of one layer, which takes and returns the keys that it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TOKENS, WIDTH)
        self.query, self.key, self.wide = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 512)
        self.head = nn.Linear(512, TOKENS)

    def forward(
        self, token: torch.Tensor, keys: Sequence[torch.Tensor], place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the numbers of the next token, and the keys with the one at `place`."""
        x = self.table(token)
        seen = keys[0].index_copy(1, place, self.key(x))
        weights = torch.softmax(self.query(x) @ seen.transpose(1, 2), -1)
        return self.head(torch.tanh(self.wide(x + weights @ seen))), seen


def _inputs(token: int = 3) -> Inputs:
    feeds = [Feed(0, 0, "argmax"), Feed("keys", 1), Feed("place", rule="next")]
    keys = {"keys": [torch.zeros(1, PLACES, WIDTH)], "place": torch.tensor([0])}
    return Inputs((torch.tensor([[token]]),), keys, STEPS, tuple(feeds))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stored decoder, with two samples."""
    torch.manual_seed(1)
    return stored(tmp_path_factory.mktemp("decoder"), Decoder().eval(), _inputs(), _inputs(5))


@pytest.mark.parametrize("reader", ["read", "mmap", "direct"])
@pytest.mark.parametrize("policy", POLICIES)
def test_loops_give_the_outputs_of_plain_pytorch(decoder: Path, policy: str, reader: str) -> None:
    """Under each policy and reader, tokens and outputs are those of plain PyTorch, within the planned memory."""
    asked = asked_steps(decoder, STEPS, STEPS, 4, 1)
    plan = make_plan(policy, POLICIES[policy], asked, Budget(1 << 17))
    performer, _ = execute(plan, asked, decoder, reader=reader)
    for r, request in enumerate(asked.requests):
        error, detail = performer.compare(r)
        assert error is not None, detail
        assert error <= performer.tolerance(r), detail
        assert len(performer.steps[r].ends_s) == request.steps
    if plan.lanes == 1 or policy == "stream":  # other lanes load as far ahead as they get
        assert performer.ledger.peak_bytes <= max(peak_bytes(plan, asked), 1 << 17)


@pytest.mark.parametrize("stale", [0, 1, 2], ids=["token", "keys", "place"])
def test_stale_input_is_noticed(decoder: Path, stale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a token, the keys, or the place stay what they were, the outputs are wrong."""
    first = list(OpenNetwork(decoder, "read").inputs(0).values())

    def fed(feed: Feed, outputs: Sequence[torch.Tensor], before: torch.Tensor | None) -> torch.Tensor:
        return first[stale].clone() if feed.input == stale else tensors.fed(feed, outputs, before)

    asked = asked_steps(decoder, STEPS)
    monkeypatch.setattr(steps, "fed", fed)
    performer, _ = execute(make_plan("bulk", POLICIES["bulk"], asked, Budget()), asked, decoder)
    monkeypatch.undo()
    error, _ = performer.compare(0)
    assert error is None or error > performer.tolerance(0)


class Close(nn.Module):
    """Scores two tokens alike: they differ by `gap` times their size."""

    def __init__(self, gap: float) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[0.0], [1 + gap], [1.0]]).expand(3, 8))

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        """Return the scores of three tokens, which do not depend on this one."""
        return torch.as_tensor(self.head(torch.ones(1, 8) + 0 * token))


@pytest.mark.parametrize(("gap", "right"), [(1e-5, True), (1e-3, False)])
def test_token_that_rounding_decides_is_right(
    tmp_path: Path,
    gap: float,
    right: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second of two tokens has the error that swaps them, which is within the tolerance if rounding explains it."""
    folder = stored(tmp_path, Close(gap), Inputs((torch.tensor([[0]]),), steps=4, feeds=(Feed(0, rule="argmax"),)))
    asked = asked_steps(folder, 4)
    monkeypatch.setattr(steps, "fed", lambda *_: torch.tensor([[2]]))
    performer, _ = execute(make_plan("bulk", POLICIES["bulk"], asked, Budget()), asked, folder)
    monkeypatch.undo()
    found = performer.compare(0)
    assert isinstance(found, PartedSteps)
    assert found.detail == "after step 1 of 4, its next input is [2] instead of [1]"
    assert found.error == pytest.approx(gap / 2, rel=0.1)
    assert (gap / 2 <= performer.tolerance(0)) == right


@pytest.mark.parametrize(
    ("feed", "reason"),
    [
        (
            Feed("keys", 0),
            "the feed of input keys: output 0 is float32 [1, 1, 64], but the input is float32 [1, 16, 48]",
        ),
        (Feed("keys", 7), "the feed of input keys: there is no output 7, but 2 outputs"),
        (Feed("keys", 0, "argmax"), "the feed of input keys: output 0 gives 1 numbers, but the input has 768"),
    ],
)
def test_feed_that_does_not_fit_is_refused(tmp_path: Path, feed: Feed, reason: str) -> None:
    """An output of another shape or type, or that does not exist, is refused by name when the network is made."""
    sample = Inputs(_inputs().args, _inputs().kwargs, 2, (feed,))
    with pytest.raises(CannotExport, match=reason.replace("[", r"\[")):
        stored(tmp_path, Decoder(), sample)


def test_graph_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    """The outputs of all later steps are one tensor, so the graph of 500 steps is as large as that of 5, but digits."""
    torch.manual_seed(2)
    module, start = nn.Linear(4, 4), (torch.ones(1, 4),)
    few, many = (
        stored(tmp_path / str(steps), module, Inputs(start, steps=steps, feeds=(Feed(0),))) for steps in (5, 500)
    )
    assert (many / GRAPH).stat().st_size - (few / GRAPH).stat().st_size < 20
    network = read_graph(many)
    assert network.samples[0].steps == 500
    (last,) = network.expected(0, 499).values()
    assert last.shape == (1, 4)
    assert last.offset + last.size_bytes == sum((network.samples[0].later[0].offset, 499 * 16))


def test_steps_of_different_shapes_are_refused(tmp_path: Path) -> None:
    """A module whose output grows from step to step is refused with both shapes."""

    class Growing(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            self.calls += 1
            return 2 * x, x.new_zeros(self.calls)

    reason = r"^output 1 of step 3 of sample 0: it has shape \[3\], but \[2\] in step 2; give a module whose steps have"
    with pytest.raises(CannotExport, match=reason):
        stored(tmp_path, Growing(), Inputs((torch.ones(1, 4),), steps=4, feeds=(Feed(0),)))
