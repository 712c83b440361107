"""Figures over rounds."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.record import Case, Measurement, Outcome, Record
from pytest_edgeload.results.statistics import Spread, multiple, outcomes, ratio, spread

CASE = Case("suites/test_a.py::test_a", "mix", "bulk", None, None, "read", 2, "none", "off")
SECONDS = st.floats(0.001, 1000)


def _record(*rounds: float | Outcome | None) -> Record:
    """Return a record whose rounds, counted from 0, took these seconds, lack that metric, or ended otherwise."""
    return Record(
        CASE,
        tuple(
            Measurement(outcome=took, round=i, makespan_s=1e9)
            if isinstance(took, str)
            else Measurement(outcome="ok", round=i, makespan_s=took)
            for i, took in enumerate(rounds)
        ),
    )


@given(st.lists(SECONDS | st.none() | st.sampled_from(["oom", "timeout", "crashed", "wrong"])))
def test_spread(rounds: list[float | Outcome | None]) -> None:
    """A spread is over the rounds that went well and have the metric, and is None where there are none."""
    values = [took for took in rounds if isinstance(took, float)]
    expected = Spread(statistics.median(values), min(values), max(values)) if values else None
    assert spread(_record(*rounds), "makespan_s") == expected


def test_spread_of_zero() -> None:
    """A metric that is 0 counts as 0."""
    assert spread(_record(0.0, 4.0), "makespan_s") == Spread(2.0, 0.0, 4.0)


@pytest.mark.parametrize(
    ("mine", "reference", "expected"),
    [
        (_record(2.0, 90.0, 5.0), _record(1.0, 10.0, 5.0), 2.0),  # of 2, 9 and 1: each round by its own reference
        (_record(2.0, 30.0), _record(1.0, 10.0), 2.5),
        (_record("oom", 30.0), _record(1.0, 10.0), 3.0),
        (_record(2.0, 30.0), _record(1.0, "wrong"), 2.0),
        (_record(None, 30.0), _record(1.0, 10.0), 3.0),
        (_record(2.0, 30.0), _record(1.0), 2.0),
        (_record(2.0), _record(1.0, 10.0), 2.0),
        (_record(0.0), _record(1.0), 0.0),
        (_record(2.0), _record(0.0), None),
        (_record(2.0, "oom"), _record("oom", 1.0), None),
        (_record(), _record(1.0), None),
        (_record(1.0), _record(), None),
    ],
)
def test_ratio(mine: Record, reference: Record, expected: float | None) -> None:
    """A ratio is the median over the rounds that both have of the one relative to the other, and None without any."""
    assert ratio(mine, reference, "makespan_s") == expected


@given(st.lists(SECONDS, min_size=1), st.floats(0.5, 2))
def test_ratio_of_a_drifting_machine(reference: list[float], factor: float) -> None:
    """However the machine drifts from round to round, a policy that takes twice as long in each has the ratio 2."""
    mine = _record(*(took * factor for took in reference))
    assert ratio(mine, _record(*reference), "makespan_s") == pytest.approx(factor)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([(2.0, 1.0), (90.0, 10.0), (5.0, 5.0)], 2.0),  # of 2, 9 and 1: each round by its own
        ([(2.0, 1.0), (30.0, None), (None, 1.0), (30.0, 0.0)], 2.0),
        ([(0.0, 1.0)], 0.0),
        ([(2.0, None)], None),
        ([], None),
    ],
)
def test_multiple(rounds: list[tuple[float | None, float | None]], expected: float | None) -> None:
    """One metric over another is the median over the rounds that went well and have both, and None without any."""
    made = [Measurement(outcome="ok", makespan_s=took, bound_s=bound) for took, bound in rounds]
    failed = Measurement(outcome="oom", makespan_s=1e9, bound_s=1.0)
    assert multiple(Record(CASE, (*made, failed)), "makespan_s", "bound_s") == expected


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ((), []),
        (("oom", 1.0, 2.0), [("ok", 2), ("oom", 1)]),
        (("oom", 1.0, "timeout", 1.0, "timeout"), [("ok", 2), ("timeout", 2), ("oom", 1)]),
        ((None,), [("ok", 1)]),
    ],
)
def test_outcomes(rounds: tuple[float | Outcome | None, ...], expected: list[tuple[str, int]]) -> None:
    """Outcomes are counted, the most frequent first, and those that are as frequent as they came."""
    assert list(outcomes(_record(*rounds)).items()) == expected
