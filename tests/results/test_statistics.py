"""Figures over rounds."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.record import Case, Measurement, Outcome, Record
from pytest_edgeload.results.statistics import (
    Interval,
    Spread,
    contrast,
    estimate,
    is_precise,
    lacking,
    multiple,
    outcomes,
    outliers,
    ratio,
    runs_of,
    samples_needed,
    spread,
)
from pytest_edgeload.results.threshold import Figure

CASE = Case(
    test="suites/test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="none",
    swap="off",
    constraints=Constraints(threads=2),
)
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


VALUES = st.lists(st.floats(0.01, 100), min_size=2, max_size=12)


@given(VALUES, st.sampled_from(["median", "mean", "min", "max", "p25"]))
def test_estimate(values: list[float], stat: str) -> None:
    """An estimate is the statistic of the rounds, and lies in its interval, which lies between the extremes."""
    found = estimate([[value] for value in values], stat)
    due = {"median": statistics.median(values), "mean": statistics.fmean(values), "min": min(values)}
    assert found is not None
    assert found.interval is not None
    if stat in due:
        assert found.value == pytest.approx(due[stat])
    slack = 1e-9 * max(values)
    assert min(values) - slack <= found.interval.low <= found.interval.high <= max(values) + slack
    assert found.runs == len(values)


def test_one_run() -> None:
    """A single run has a value and no interval, and no run has nothing."""
    found = estimate([[3.0]])
    assert found is not None
    assert (found.value, found.interval) == (3.0, None)
    assert found.precision == math.inf
    assert estimate([]) is None


def test_whole_runs_are_drawn() -> None:
    """What differs between runs and not within them is as uncertain as the runs are few, whatever samples there are."""
    runs = [[value] * 100 for value in (1.0, 2.0, 3.0)]
    found = estimate(runs, "p50")
    assert found is not None
    assert found.interval == Interval(1.0, 3.0)


@pytest.mark.slow
def test_coverage() -> None:
    """The interval of the median of ten rounds holds the true one about as often as it says."""
    drawn = random.Random(1)
    hits = 0
    for _ in range(200):
        found = estimate([[drawn.gauss(10, 1)] for _ in range(10)])
        assert found is not None
        assert found.interval is not None
        hits += found.interval.low <= 10 <= found.interval.high
    assert hits >= 0.9 * 200


@given(VALUES, st.floats(1.1, 3))
def test_contrast(values: list[float], factor: float) -> None:
    """What became so many times larger is seen as that, in the middle of its interval."""
    before, after = [[value] for value in values], [[value * factor] for value in values]
    found = contrast(before, after, "median", lambda then, now: now / then)
    assert found.value == pytest.approx(factor)
    assert found.interval is not None
    assert found.interval.low <= found.value * (1 + 1e-9)
    assert found.value <= found.interval.high * (1 + 1e-9)


def test_confidence() -> None:
    """More confidence takes a wider interval."""
    runs = [[value] for value in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)]
    widths = []
    for confidence in (0.5, 0.95, 0.999):
        found = estimate(runs, "mean", confidence)
        assert found is not None
        assert found.interval is not None
        widths.append(found.interval.high - found.interval.low)
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(("percent", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662), (10, 64)])
def test_samples_needed(percent: float, needed: int) -> None:
    """A percentile needs as many samples as MLPerf's load generator asks for."""
    assert samples_needed(percent) == needed


def test_lacking() -> None:
    """Samples of all runs count together; a median needs but one."""
    assert lacking([[1.0] * 32] * 2, "p90") is None
    assert lacking([[1.0] * 32, [1.0] * 31], "p90") == 64
    assert lacking([[1.0]], "median") is None


def test_samples() -> None:
    """A percentile looks at each answered request, anything else at the mean of a run; failed rounds do not count."""
    rounds = [
        Measurement(outcome="ok", round=0, response_s=(1.0, None, 3.0)),
        Measurement(outcome="oom", round=1, response_s=(9.0,)),
        Measurement(outcome="ok", round=2, makespan_s=4.0),
    ]
    record = Record(CASE, tuple(rounds))
    assert runs_of(record, Figure("response_s", "p90")) == [[1.0, 3.0]]
    assert runs_of(record, Figure("response_s")) == [[2.0]]
    assert runs_of(record, Figure("makespan_s")) == [[4.0]]
    assert runs_of(_record(2.0, 6.0), Figure("makespan_s", reference="bulk"), _record(1.0, 2.0)) == [[2.0], [3.0]]
    assert runs_of(_record(2.0, 6.0), Figure("makespan_s", reference="bulk")) == []


def test_precision() -> None:
    """Precise enough is a narrow interval after enough rounds, or what has no good round at all."""
    assert is_precise(_record(1.0, 1.01, 0.99), 0.05, 3)
    assert not is_precise(_record(1.0, 1.01), 0.05, 3)
    assert not is_precise(_record(1.0, 1.5, 0.7), 0.05, 3)
    assert is_precise(_record("oom", "oom", "oom"), 0.05, 3)


def test_outliers() -> None:
    """A round far from the rest is one, if there are five and they differ; nothing is among equal rounds."""
    assert [m.round for m in outliers(_record(1.0, 1.01, 0.99, 1.02, 5.0), "makespan_s")] == [4]
    assert outliers(_record(1.0, 1.01, 0.99, 5.0), "makespan_s") == []
    assert outliers(_record(1.0, 1.0, 1.0, 1.0, 5.0), "makespan_s") == []
