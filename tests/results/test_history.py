"""The history of a figure over saved sessions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import document
from pytest_edgeload.results.history import Saved, Series, series
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Figure
from tests.cases import CASE

LINEAR = msgspec.structs.replace(CASE, policy="linear")
MAKESPAN, RATIO = Figure("makespan_s"), Figure("makespan_s", reference="bulk")


def _saved(title: str, *records: tuple[Case, float | None]) -> Saved:
    made = [
        Record(case, (Measurement(outcome="oom" if value is None else "ok", makespan_s=value, peak_bytes=5),))
        for case, value in records
    ]
    return Saved(title, document(made, {}, Path(__file__).parent))


def _values(found: Series) -> dict[str, float]:
    return {point.saved.title: point.estimate.value for point in found.points}


def test_series_has_the_sessions_in_order() -> None:
    """A case has the values of all sessions that contain it, in their order."""
    sessions = [_saved("1", (CASE, 1.0)), _saved("2", (LINEAR, 7.0)), _saved("3", (CASE, 2.0), (LINEAR, 8.0))]
    bulk, linear = series(sessions, MAKESPAN, lambda _case: True)
    assert (_values(bulk), _values(linear)) == ({"1": 1.0, "3": 2.0}, {"2": 7.0, "3": 8.0})
    assert bulk.left_out == linear.left_out == {}


def test_only_wanted_cases_have_a_series() -> None:
    """Only wanted cases have a series, and a reference has none relative to itself."""
    sessions = [_saved("1", (CASE, 2.0), (LINEAR, 1.0))]
    [linear] = series(sessions, MAKESPAN, lambda case: case.policy == "linear")
    [ratio] = series(sessions, RATIO, lambda _case: True)
    assert (linear.case, ratio.case, _values(ratio)) == (LINEAR, LINEAR, {"1": 0.5})


def test_incomparable_sessions_are_left_out_with_the_reason() -> None:
    """Times under another cap than the newest session's, and missing times, are left out with the reason."""
    other = msgspec.structs.replace(CASE, cap="cgroup1")
    sessions = [_saved("1", (other, 9.0)), _saved("2", (CASE, None)), _saved("3", (CASE, 1.0))]
    [found] = series(sessions, MAKESPAN, lambda _case: True)
    assert _values(found) == {"3": 1.0}
    assert found.left_out == {"1": "the cap was cgroup1 then, and is cgroup2 now", "2": "no round has makespan"}
    [peak] = series(sessions, Figure("peak_bytes"), lambda _case: True)
    assert _values(peak) == {"1": 5, "3": 5}


def test_percentiles_need_samples() -> None:
    """A percentile of too few samples is left out."""
    [found] = series([_saved("1", (CASE, 1.0))], Figure("makespan_s", "p90"), lambda _case: True)
    assert found.left_out == {"1": "p90 needs 64 samples"}
