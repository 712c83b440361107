"""Statistics over rounds."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.bootstrap import Interval
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement, Outcome
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import (
    Change,
    Spread,
    change,
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
    """Return a record whose rounds took these seconds, lack the metric (None), or have another outcome."""
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
def test_spread_covers_the_good_rounds(rounds: list[float | Outcome | None]) -> None:
    """A spread covers the rounds that were ok and have the metric; it is None without such a round."""
    values = [took for took in rounds if isinstance(took, float)]
    expected = Spread(statistics.median(values), min(values), max(values)) if values else None
    assert spread(_record(*rounds), "makespan_s") == expected


def test_spread_of_zero_is_zero() -> None:
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
def test_ratio_is_the_median_over_common_rounds(mine: Record, reference: Record, expected: float | None) -> None:
    """A ratio is the median over the rounds that both records have, None without such a round."""
    assert ratio(mine, reference, "makespan_s") == expected


@given(st.lists(SECONDS, min_size=1), st.floats(0.5, 2))
def test_ratio_is_independent_of_drift(reference: list[float], factor: float) -> None:
    """A policy that takes twice as long in each round has the ratio 2, even if the machine drifts."""
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
def test_multiple_is_the_median_over_complete_rounds(
    rounds: list[tuple[float | None, float | None]], expected: float | None
) -> None:
    """The ratio of two metrics is the median over the good rounds that have both, None without such a round."""
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
def test_outcomes_are_counted_by_frequency(
    rounds: tuple[float | Outcome | None, ...], expected: list[tuple[str, int]]
) -> None:
    """Outcomes are counted, most frequent first, and otherwise in order of appearance."""
    assert list(outcomes(_record(*rounds)).items()) == expected


VALUES = st.lists(st.floats(0.01, 100), min_size=2, max_size=12)


@given(VALUES, st.sampled_from(["median", "mean", "min", "max", "p25"]))
def test_estimate_lies_in_its_interval(values: list[float], stat: str) -> None:
    """An estimate is the statistic of the rounds and lies in its interval, which lies between the extremes."""
    found = estimate([[value] for value in values], stat)
    due = {"median": statistics.median(values), "mean": statistics.fmean(values), "min": min(values)}
    assert found is not None
    assert found.interval is not None
    if stat in due:
        assert found.value == pytest.approx(due[stat])
    slack = 1e-9 * max(values)
    assert min(values) - slack <= found.interval.low <= found.interval.high <= max(values) + slack
    assert found.runs == len(values)


def test_single_run_has_no_interval() -> None:
    """A single run has a value without an interval, and no run has no estimate."""
    found = estimate([[3.0]])
    assert found is not None
    assert (found.value, found.interval) == (3.0, None)
    assert found.precision == math.inf
    assert estimate([]) is None


def test_bootstrap_resamples_whole_runs() -> None:
    """If samples differ only between runs, many samples do not narrow the interval."""
    runs = [[value] * 100 for value in (1.0, 2.0, 3.0)]
    found = estimate(runs, "p50")
    assert found is not None
    assert found.interval == Interval(1.0, 3.0)


def test_interval_covers_the_true_median() -> None:
    """The interval of the median of ten rounds contains the true one about as often as its confidence says."""
    drawn = random.Random(1)
    hits = 0
    for _ in range(200):
        found = estimate([[drawn.gauss(10, 1)] for _ in range(10)])
        assert found is not None
        assert found.interval is not None
        hits += found.interval.low <= 10 <= found.interval.high
    assert hits >= 0.9 * 200


@given(VALUES, st.floats(1.1, 3))
def test_change_is_in_the_middle_of_its_interval(values: list[float], factor: float) -> None:
    """A change by a factor is estimated as this share, in the middle of its interval."""
    before, after = [[value] for value in values], [[value * factor] for value in values]
    found = change(before, after)
    assert found is not None
    assert found.is_share
    assert found.value == pytest.approx(factor - 1)
    assert found.interval is not None
    assert found.interval.low - 1e-9 <= found.value <= found.interval.high + 1e-9


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.0, 0.0], [0.0, 0.0], Change(0.0, Interval(0.0, 0.0), is_share=False)),
        ([0.0, 0.0], [4.0, 4.0], Change(4.0, Interval(4.0, 4.0), is_share=False)),
        ([2.0, 2.0], [0.0, 0.0], Change(-1.0, Interval(-1.0, -1.0), is_share=True)),
        ([0.0, 0.0, 6.0, 6.0, 6.0], [6.0] * 5, Change(0.0, Interval(0.0, 6.0), is_share=False)),  # some resamples are 0
        ([0.0], [4.0], Change(4.0, None, is_share=False)),
    ],
)
def test_nothing_is_a_share_of_zero(before: list[float], after: list[float], expected: Change) -> None:
    """The change of a figure that was zero, or may have been, is in its unit; no interval is infinite or undefined."""
    assert change([[value] for value in before], [[value] for value in after]) == expected


def test_side_without_runs_has_no_change() -> None:
    """There is no change if a side has no run."""
    assert change([], [[1.0]]) is None
    assert change([[1.0]], []) is None


@pytest.mark.parametrize(("percent", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662), (10, 64)])
def test_percentiles_need_as_many_samples_as_in_mlperf(percent: float, needed: int) -> None:
    """A percentile needs as many samples as MLPerf's load generator requires."""
    assert samples_needed(percent) == needed


def test_samples_of_all_runs_count_together() -> None:
    """Samples of all runs count together; a median needs a single one."""
    assert lacking([[1.0] * 32] * 2, "p90") is None
    assert lacking([[1.0] * 32, [1.0] * 31], "p90") == 64
    assert lacking([[1.0]], "median") is None


def test_percentiles_use_requests_and_others_use_means() -> None:
    """A percentile uses each answered request, other statistics the mean of a run; failed rounds do not count."""
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


def test_record_is_precise_after_enough_rounds() -> None:
    """A record is precise if its interval is narrow after enough rounds, or if it has no good round."""
    assert is_precise(_record(1.0, 1.01, 0.99), 0.05, 3)
    assert not is_precise(_record(1.0, 1.01), 0.05, 3)
    assert not is_precise(_record(1.0, 1.5, 0.7), 0.05, 3)
    assert is_precise(_record("oom", "oom", "oom"), 0.05, 3)


def test_outliers_need_five_rounds_that_differ() -> None:
    """A round that is far from the rest is an outlier if there are five; equal rounds have none."""
    assert [m.round for m in outliers(_record(1.0, 1.01, 0.99, 1.02, 5.0), "makespan_s")] == [4]
    assert outliers(_record(1.0, 1.01, 0.99, 5.0), "makespan_s") == []
    assert outliers(_record(1.0, 1.0, 1.0, 1.0, 5.0), "makespan_s") == []


def test_unknown_metric_is_refused_with_the_nearest() -> None:
    """A metric that does not exist is refused in one sentence, by `spread` and `ratio`."""
    for measure in (spread, lambda record, metric: ratio(record, record, metric)):
        with pytest.raises(ValueError, match=r"^metric='makespan': unknown; did you mean makespan_s\?$"):
            measure(_record(1.0), "makespan")
