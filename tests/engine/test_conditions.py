"""Conditions on real outputs: how they are told, and what becomes of the requests they decide about."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.engine.tiles import LayerProgress
from pytest_edgeload.networks.store import read_graph
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Comparison, Condition, Conditions, Request, Workload
from tests.builders import job_of, plan_of, stored
from tests.engine.performers import carried_out, on_one_lane

EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)
DECIDING = pytest.mark.parametrize("conditions", ["wait", "early"])
NEVER = 1e9
"""More than any output here."""


class Both(nn.Module):
    """Answers with what it is given, and with the opposite of it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute two outputs."""
        return x + 0, -x


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a network whose outputs are known to the bit; its second sample holds what is no number."""
    numbers = torch.tensor([[1.0, 5.0, 2.0], [3.0, 4.0, 0.5]])
    none = torch.tensor([[1.0, torch.nan, 2.0], [3.0, 4.0, 0.5]])
    return stored(tmp_path_factory.mktemp("both"), Both(), (numbers,), (none,))


def told(folder: Path, when: Condition, sample: int = 0) -> bool:
    """Answer a request about a sample, and tell whether the condition on its outputs holds."""
    network = read_graph(folder)
    asked = Workload("two", (Request(network, sample), Request(network, when=when)), "early")
    performer, _ = carried_out(plan_of("bulk", asked), asked, folder)
    return performer.holds(1)


@pytest.mark.parametrize(
    ("comparison", "value", "holds"),
    [
        (">", 4.99, True),
        (">", 5.0, False),
        (">=", 5.0, True),
        (">=", 5.01, False),
        ("<", 5.01, True),
        ("<", 5.0, False),
        ("<=", 5.0, True),
        ("<=", 4.99, False),
    ],
)
def test_comparison(both: Path, comparison: Comparison, value: float, holds: bool) -> None:  # noqa: FBT001
    """The largest value of the output, which is 5, is compared as the condition says."""
    assert told(both, Condition(0, value, comparison)) is holds


@pytest.mark.parametrize(
    ("output", "at", "largest"),
    [(0, (), 5.0), (0, (0,), 5.0), (0, (1,), 4.0), (0, (0, 2), 2.0), (1, (), -0.5), (1, (0,), -1.0), (1, (1, 0), -3.0)],
)
def test_part(both: Path, output: int, at: tuple[int, ...], largest: float) -> None:
    """The condition is about that output, and of it the part at these leading indices."""
    assert told(both, Condition(0, largest, ">=", output, at))
    assert not told(both, Condition(0, largest, ">", output, at))


@pytest.mark.parametrize("comparison", [">", ">=", "<", "<="])
def test_no_number(both: Path, comparison: Comparison) -> None:
    """A part that holds what is no number fails every comparison; the other parts do not."""
    zero = Condition(0, 0.0, comparison)
    assert not told(both, zero, sample=1)
    assert told(both, Condition(0, 4.0, ">=", at=(1,)), sample=1)


def deciding(conditions: Conditions, first: Path, second: Path) -> Workload:
    """Return six requests of two networks, of which the second is dropped, and the third because of it."""
    a, b = read_graph(first), read_graph(second)
    wanted, unwanted = Condition(0, -NEVER), Condition(0, NEVER)
    requests = (
        Request(a),
        Request(b, when=unwanted),
        Request(a, 1, when=Condition(1, -NEVER)),
        Request(b, 1, when=wanted),
        Request(a, 1, when=Condition(3, NEVER, "<")),
        Request(b),
    )
    return Workload("deciding", requests, conditions)


DROPPED = (1, 2)


def _check_what_is_left(performer: Performer, asked: Workload, arena_bytes: int) -> None:
    """Check that answers are there, that they are right, and that nothing else is but the arena, also by the ledger."""
    for r, request in enumerate(asked.requests):
        assert {*performer.values(r)} == (set() if r in DROPPED else {*request.network.outputs})
        if r not in DROPPED:
            assert performer.output_error(r) == pytest.approx(0.0, abs=1e-6)
    answers = [request.network.answer_bytes for r, request in enumerate(asked.requests) if r not in DROPPED]
    assert performer.ledger.held_bytes - arena_bytes == sum(answers) > 0
    assert performer._weights == {}


@DECIDING
@EVERY_POLICY
def test_dropped(small: Path, branching: Path, policy: str, conditions: Conditions) -> None:
    """Requests whose condition fails give everything back, with those that depend on them; the others are answered.

    If they wait for the answer that decides, nothing of them runs at all.
    """
    asked = deciding(conditions, small, branching)
    plan = plan_of(policy, asked)
    performer, ran = carried_out(plan, asked, small, branching)
    assert ran.dropped == DROPPED
    _check_what_is_left(performer, asked, plan.arena_bytes)
    begun = {plan.tasks[span.task].request for span in ran.spans}
    assert begun >= {0, 3, 4, 5}
    if conditions == "wait":
        assert begun.isdisjoint(DROPPED)


@DECIDING
@EVERY_POLICY
def test_the_peak_with_conditions(small: Path, branching: Path, policy: str, conditions: Conditions) -> None:
    """On one lane the ledger's peak is to the byte what the simulation says that is told what will hold."""
    asked = deciding(conditions, small, branching)
    plan = on_one_lane(plan_of(policy, asked))
    performer, ran = carried_out(plan, asked, small, branching)
    assert ran.dropped == DROPPED
    _check_what_is_left(performer, asked, plan.arena_bytes)
    assert performer.ledger.peak_bytes == simulate(plan, asked, holds=lambda r: r not in DROPPED).peak_bytes


@EVERY_POLICY
def test_ignored(small: Path, branching: Path, policy: str) -> None:
    """Where conditions are ignored every request is answered."""
    asked = deciding("ignore", small, branching)
    performer, ran = carried_out(plan_of(policy, asked), asked, small, branching)
    assert ran.dropped == ()
    assert [performer.output_error(r) for r in range(6)] == pytest.approx([0.0] * 6, abs=1e-6)


def test_dropped_after_it_was_answered(small: Path, tmp_path: Path) -> None:
    """A request that was faster than the one that decides gives its answer back, with one that depends on it."""
    quick = stored(tmp_path, nn.Identity(), (torch.rand(1, 100),))
    identity = read_graph(quick)
    requests = (
        Request(read_graph(small)),
        Request(identity, when=Condition(0, NEVER)),
        Request(identity, when=Condition(1, -NEVER)),
    )
    asked = Workload("late", requests, "early")
    plan = plan_of("deepeye-preload", asked)  # begins all requests before it executes one
    performer, ran = carried_out(plan, asked, quick, small)
    order = [(plan.tasks[span.task].kind, plan.tasks[span.task].request) for span in ran.spans]
    assert order.index(("init", 1)) < order.index(("init", 2)) < order.index(("exec", 0))
    assert ran.dropped == (1, 2)
    assert [bool(performer.values(r)) for r in range(3)] == [True, False, False]
    assert performer.ledger.held_bytes == requests[0].network.answer_bytes


def test_dropped_between_two_tiles(small: Path) -> None:
    """A request that is dropped in the midst of a layer leaves nothing of it behind: no output, no bias."""
    asked = Workload("one", (Request(read_graph(small)),))
    performer = Performer(job_of(plan_of("stream", asked, memory_bytes=1 << 14), asked, small))
    for index, task in enumerate(performer._tasks):
        performer.perform(index)
        if task.kind == "exec" and isinstance(task.rows, tuple) and task.rows[0] == 0:
            break
    assert performer._progress[0].output is not None
    performer.discard(0)
    assert performer._progress == [LayerProgress()]
    assert performer.values(0) == {}
