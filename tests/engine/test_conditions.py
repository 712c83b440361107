"""Conditions on real outputs: how they are evaluated, and how requests are dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.engine.tiles import LayerProgress
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Comparison, Condition, Conditions, Request, Workload
from tests.builders import job_of, plan_of, stored
from tests.engine.performers import execute, on_one_lane

EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES)
DECIDING = pytest.mark.parametrize("conditions", ["wait", "early"])
NEVER = 1e9
"""A number that exceeds all outputs here."""


class Both(nn.Module):
    """Returns its input and the negated input."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute two outputs."""
        return x + 0, -x


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network whose outputs are known exactly; its second sample contains NaN."""
    numbers = torch.tensor([[1.0, 5.0, 2.0], [3.0, 4.0, 0.5]])
    with_nan = torch.tensor([[1.0, torch.nan, 2.0], [3.0, 4.0, 0.5]])
    return stored(tmp_path_factory.mktemp("both"), Both(), (numbers,), (with_nan,))


def is_true(when: Condition, folder: Path, sample: int = 0) -> bool:
    """Answer a request about a sample, and return whether the condition on its outputs holds."""
    network = read_graph(folder)
    workload = Workload("two", (Request(network, sample), Request(network, when=when)), "early")
    performer, _ = execute(plan_of("bulk", workload), workload, folder)
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
def test_condition_compares_the_largest_value(both: Path, comparison: Comparison, value: float, holds: bool) -> None:  # noqa: FBT001
    """The condition compares the largest value of the output, which is 5."""
    assert is_true(Condition(0, value, comparison), both) is holds


@pytest.mark.parametrize(
    ("output", "at", "largest"),
    [(0, (), 5.0), (0, (0,), 5.0), (0, (1,), 4.0), (0, (0, 2), 2.0), (1, (), -0.5), (1, (0,), -1.0), (1, (1, 0), -3.0)],
)
def test_condition_is_about_a_part_of_an_output(both: Path, output: int, at: tuple[int, ...], largest: float) -> None:
    """The condition compares the part of the chosen output at its leading indices."""
    assert is_true(Condition(0, largest, ">=", output, at), both)
    assert not is_true(Condition(0, largest, ">", output, at), both)


@pytest.mark.parametrize("comparison", [">", ">=", "<", "<="])
def test_nan_fails_every_comparison(both: Path, comparison: Comparison) -> None:
    """A part that contains NaN fails every comparison; other parts are not affected."""
    zero = Condition(0, 0.0, comparison)
    assert not is_true(zero, both, sample=1)
    assert is_true(Condition(0, 4.0, ">=", at=(1,)), both, sample=1)


def deciding(conditions: Conditions, first: Path, second: Path) -> Workload:
    """Return six requests of two networks; the second is dropped, and the third depends on it."""
    a, b = read_graph(first), read_graph(second)
    true, false = Condition(0, -NEVER), Condition(0, NEVER)
    requests = (
        Request(a),
        Request(b, when=false),
        Request(a, 1, when=Condition(1, -NEVER)),
        Request(b, 1, when=true),
        Request(a, 1, when=Condition(3, NEVER, "<")),
        Request(b),
    )
    return Workload("deciding", requests, conditions)


DROPPED = (1, 2)


def _check_final_state(performer: Performer, workload: Workload, arena_bytes: int) -> None:
    """Check that the outputs are correct, and that values, weights and ledger contain nothing else except the arena."""
    for r, request in enumerate(workload.requests):
        assert {*performer.values(r)} == (set() if r in DROPPED else {*request.network.outputs})
        if r not in DROPPED:
            assert performer.compare(r).error == pytest.approx(0.0, abs=1e-6)
    answers = [request.network.answer_bytes for r, request in enumerate(workload.requests) if r not in DROPPED]
    assert performer.ledger.held_bytes - arena_bytes == sum(answers) > 0
    assert performer._weights == {}


@DECIDING
@EVERY_POLICY
def test_dropped_requests_release_everything(small: Path, branching: Path, policy: str, conditions: Conditions) -> None:
    """Requests whose condition fails release all they hold, as do those that depend on them; the others are answered.

    If conditions wait for the answer, no task of a dropped request runs, unless others use its weights.
    """
    workload = deciding(conditions, small, branching)
    plan = plan_of(policy, workload)
    performer, result = execute(plan, workload, small, branching)
    assert result.dropped == DROPPED
    _check_final_state(performer, workload, plan.arena_bytes)
    started = {plan.tasks[span.task].request for span in result.spans}
    assert started >= {0, 3, 4, 5}
    if conditions == "wait":
        kept = {task.weights for task in plan.tasks if task.kind == "exec" and task.request not in DROPPED}
        of_dropped = [plan.tasks[s.task] for s in result.spans if plan.tasks[s.task].request in DROPPED]
        assert all(task.kind in {"load", "free"} and task.weights in kept for task in of_dropped)


@DECIDING
@EVERY_POLICY
def test_peak_equals_the_simulation_with_conditions(
    small: Path, branching: Path, policy: str, conditions: Conditions
) -> None:
    """On one lane the ledger's peak equals the simulation's to the byte, given the same results of the conditions."""
    workload = deciding(conditions, small, branching)
    plan = on_one_lane(plan_of(policy, workload))
    performer, result = execute(plan, workload, small, branching)
    assert result.dropped == DROPPED
    _check_final_state(performer, workload, plan.arena_bytes)
    assert performer.ledger.peak_bytes == simulate(plan, workload, holds=lambda r: r not in DROPPED).peak_bytes


@EVERY_POLICY
def test_ignored_conditions_drop_nothing(small: Path, branching: Path, policy: str) -> None:
    """If conditions are ignored, every request is answered."""
    workload = deciding("ignore", small, branching)
    performer, result = execute(plan_of(policy, workload), workload, small, branching)
    assert result.dropped == ()
    assert [performer.compare(r).error for r in range(6)] == pytest.approx([0.0] * 6, abs=1e-6)


def test_a_request_is_dropped_after_its_answer(small: Path, tmp_path: Path) -> None:
    """A request that is answered before its condition fails releases the answer; so do requests that depend on it."""
    quick = stored(tmp_path, nn.Identity(), (torch.rand(1, 100),))
    identity = read_graph(quick)
    requests = (
        Request(read_graph(small)),
        Request(identity, when=Condition(0, NEVER)),
        Request(identity, when=Condition(1, -NEVER)),
    )
    workload = Workload("late", requests, "early")
    plan = plan_of("deepeye-preload", workload)  # starts all requests before it executes one
    performer, result = execute(plan, workload, quick, small)
    order = [(plan.tasks[span.task].kind, plan.tasks[span.task].request) for span in result.spans]
    assert order.index(("init", 1)) < order.index(("init", 2)) < order.index(("exec", 0))
    assert result.dropped == (1, 2)
    assert [bool(performer.values(r)) for r in range(3)] == [True, False, False]
    assert performer.ledger.held_bytes == requests[0].network.answer_bytes


def test_a_request_dropped_between_two_tiles_leaves_no_state(small: Path) -> None:
    """A request that is dropped in the middle of a layer leaves no partial output and no bias."""
    workload = Workload("one", (Request(read_graph(small)),))
    performer = Performer.of(job_of(plan_of("stream", workload, memory_bytes=1 << 14), workload, small))
    for index, task in enumerate(performer._tasks):
        performer.perform(index)
        if task.kind == "exec" and isinstance(task.tile, tuple) and task.tile[0] == 0:
            break
    assert performer._progress[0].output is not None
    performer.discard(0)
    assert performer._progress == [LayerProgress()]
    assert performer.values(0) == {}
