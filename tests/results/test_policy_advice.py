"""Advice from predictions: the order of choices, the limit to use, ties, changes, and the ladder of limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.advice import (
    SLOWEST,
    AdviceChange,
    ChoiceRun,
    Confirmation,
    Objective,
    PolicyChoice,
    best_first,
    bound_of_all,
    certainty,
    change_to,
    ladder,
    recommended,
)
from pytest_edgeload.results.measurement import Measurement

M = 1 << 20
MAKESPAN, IN_TIME = Objective("makespan_s"), Objective("in_time")


def _prediction(
    policy: str, value: float | None, limit_bytes: int = 100 * M, peak_bytes: int = M, reader: str = "direct"
) -> ChoiceRun:
    return ChoiceRun(PolicyChoice(policy, reader, 1), limit_bytes, "oom" if value is None else "ok", value, peak_bytes)


def test_best_is_the_lowest_time_or_the_highest_share() -> None:
    """Choices are in the order of the figure, in its direction; those that do not work are last."""
    given = [_prediction("a", 0.5), _prediction("b", None), _prediction("c", 0.9)]
    assert [each.choice.policy for each in best_first(given, MAKESPAN).predictions] == ["a", "c", "b"]
    assert [each.choice.policy for each in best_first(given, IN_TIME).predictions] == ["c", "a", "b"]


def test_each_policy_has_its_best_reader() -> None:
    """A policy is listed once, with the reader under which it is the best."""
    found = best_first([_prediction("a", 2.0), _prediction("a", 1.0, reader="mmap"), _prediction("b", 1.5)], MAKESPAN)
    assert [(each.choice.policy, each.choice.reader) for each in found.predictions] == [("a", "mmap"), ("b", "direct")]


def test_equal_values_are_ordered_by_memory_and_tied() -> None:
    """Of equal choices, the one with the lowest peak is the best, and the others are named as ties."""
    found = best_first(
        [_prediction("a", 1.0, peak_bytes=2 * M), _prediction("b", 1.0), _prediction("c", 1.1)], MAKESPAN
    )
    assert (found.best and found.best.choice.policy, found.tied) == ("b", ("a",))


def test_late_first_requests_bound_the_share_of_all() -> None:
    """The bound has all later requests in time; a choice that fails early fails, and a bound is behind what works."""
    assert bound_of_all(_prediction("a", 0.4), 5, 20).value == pytest.approx(0.85)
    assert bound_of_all(_prediction("a", None), 5, 20) == _prediction("a", None)
    known = [bound_of_all(_prediction("a", 0.9), 5, 20), _prediction("b", 0.2), _prediction("c", None)]
    found = best_first(known, IN_TIME)
    assert [each.choice.policy for each in found.predictions] == ["b", "a", "c"]
    assert (found.working, found.tied) == (("b",), ())


def test_choices_that_miss_the_goal_change_nothing() -> None:
    """Under a limit another policy is better, which counts unless it misses a goal."""
    small = best_first([_prediction("a", None), _prediction("b", 0.3)], IN_TIME)
    change = change_to("less memory", 100 * M, "a", small, IN_TIME)
    assert change == AdviceChange("less memory", 100 * M, PolicyChoice("b", "direct", 1))
    assert change_to("less memory", 100 * M, "a", small, Objective("in_time", 0.9)) is None


def test_nothing_works() -> None:
    """A limit under which nothing works has no best choice and no ties."""
    found = best_first([_prediction("a", None)], MAKESPAN)
    assert (found.best, found.tied, found.working, recommended([found], MAKESPAN)) == (None, (), (), None)


CURVE = [
    best_first([_prediction("linear", 4.0, 100 * M), _prediction("bulk", None, 100 * M)], MAKESPAN),
    best_first([_prediction("linear", 4.0, 200 * M), _prediction("stream", 1.05, 200 * M)], MAKESPAN),
    best_first([_prediction("bulk", 1.0, 400 * M), _prediction("stream", 1.02, 400 * M)], MAKESPAN),
    best_first([_prediction("bulk", 0.97, 800 * M), _prediction("stream", 1.05, 800 * M)], MAKESPAN),
]
"""Only linear fits at first; stream is almost as good as with plenty from 200 MiB on."""


@pytest.mark.parametrize(
    ("worst", "limit"), [(None, 200), (4.0, 100), (1.5, 200), (1.0, 400), (0.97, 800), (0.5, None)]
)
def test_limit_to_use_is_the_smallest_that_will_do(worst: float | None, limit: int | None) -> None:
    """With a goal it is the smallest limit that meets it; without one, the smallest that is almost as good as all."""
    found = recommended(CURVE, Objective("makespan_s", worst))
    assert (None if found is None else found.limit_bytes // M) == limit


def test_other_policies_are_named_where_they_are_better() -> None:
    """A limit with another clear winner is a change, with its gain if the advice works there at all."""
    below, own, tie, above = (change_to("more memory", 0, "stream", each, MAKESPAN) for each in CURVE)
    assert (own, tie) == (None, None)
    assert below is not None
    assert (below.choice.policy, below.gain) == ("linear", None)
    assert above is not None
    assert above.choice.policy == "bulk"
    assert above.gain == pytest.approx(0.08 / 0.97)


def test_slowest_response_counts_without_dropped_requests() -> None:
    """The value of a run is its longest response time; requests without an answer have none."""
    run = Measurement(outcome="ok", response_s=(0.1, None, 0.3))
    assert Objective(SLOWEST).value(run) == 0.3
    assert Objective(SLOWEST).value(Measurement(outcome="ok")) is None
    assert Objective(SLOWEST, 0.3).is_met(0.3)
    assert not Objective("in_time", 0.9).is_met(0.8)


def test_shares_are_compared_by_their_difference() -> None:
    """A time is worse by a share of the better one; a share in time by the plain difference, also from 0."""
    assert MAKESPAN.excess(1.5, 1.0) == 0.5
    assert IN_TIME.excess(0.0, 0.03) == 0.03
    assert IN_TIME.excess(0.9, 0.8) < 0


def test_certainty_is_that_of_confirmed_predictions() -> None:
    """Errors are relative to the measured value; a run that failed has none."""
    pairs = [(1.0, 2.0), (3.0, 2.0), (2.2, 2.0), (1.0, None)]
    confirmations = [Confirmation(_prediction("a", one), _prediction("a", other)) for one, other in pairs]
    known = certainty([error for each in confirmations if (error := each.error) is not None])
    assert known is not None
    assert (known.confirmed, known.median_error, known.max_error) == (3, 0.5, 0.5)
    assert certainty([]) is None


@given(st.integers(0, 500 * M), st.integers(1, 100 * M), st.integers(0, 8000 * M))
def test_ladder_goes_from_enough_to_everything(base: int, room: int, more: int) -> None:
    """The lowest limit is enough and near the need, the highest holds everything, and each is larger than the last."""
    low, high = base + room, base + room + more
    steps = ladder(low, high, base, 7)
    assert steps == sorted({*steps})
    assert low <= steps[0] <= low + max(M, room // 8)
    assert high <= steps[-1] <= high + max(M, (room + more) // 8)
    assert len(steps) <= 7
    assert all(step % M == 0 for step in steps)
