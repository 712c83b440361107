"""A program's own metrics: one fault costs one metric, and its row says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.metric import OwnMetric
from pytest_edgeload.results.reported import ReportedValue, gather, parse_report


def test_unit_and_direction_follow_from_the_name() -> None:
    """A metric has the unit and direction of its name, unless its report gives others."""
    given_others = ReportedValue("first_token_s", 2, unit="min", better="neither")
    metrics, notices = gather(
        [ReportedValue("tokens_per_s", 31), ReportedValue("wer", 0.1, better="lower"), given_others]
    )
    assert notices == ()
    assert metrics == {
        "tokens_per_s": OwnMetric(31.0, "1/s", "higher"),
        "wer": OwnMetric(0.1, "", "lower"),
        "first_token_s": OwnMetric(2.0, "min", "neither"),
    }


def test_reports_of_a_series_are_joined() -> None:
    """Reports of a series, and lists, become one series in their order; one report of a series is a series."""
    joined = [ReportedValue("a", 1, is_series=True), ReportedValue("a", [2, 3], is_series=True)]
    metrics, notices = gather([*joined, ReportedValue("b", 1, is_series=True), ReportedValue("c", (4, 5))])
    assert notices == ()
    assert {name: metric.value for name, metric in metrics.items()} == {"a": (1, 2, 3), "b": (1,), "c": (4, 5)}


FAULTS = {
    "its metric x is left out: it was reported 2 times; series=True keeps every value": [
        ReportedValue("x", 1),
        ReportedValue("x", 2),
    ],
    "its metric x is left out: $ has no 'x'": [ReportedValue("x", fault="$ has no 'x'"), ReportedValue("x", 1)],
    "its metric x is left out: it is 'fast' instead of a number": [ReportedValue("x", "fast")],
    "its metric x is left out: the list is empty": [ReportedValue("x", [])],
    "its metric a b is left out: not a name; use letters, digits and _, such as tokens_per_s": [
        ReportedValue("a b", 1)
    ],
    "its metric cpu_s is left out: this name is taken: every run has it; choose another, such as own_cpu_s": [
        ReportedValue("cpu_s", 1)
    ],
    "its metric x is left out: better='up' is not a direction; give higher or lower or neither": [
        ReportedValue("x", 1, better="up")
    ],
    "its metric x is left out: unit=5 is not a text of at most 50 characters": [ReportedValue("x", 1, unit=5)],
    r"its metric \n is left out: not a name; use letters, digits and _, such as tokens_per_s": [ReportedValue("\n", 1)],
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_fault_is_a_sentence_and_others_stay(sentence: str) -> None:
    """A metric with a fault is left out with one sentence; the other metrics stay."""
    metrics, notices = gather([ReportedValue("other", 1), *FAULTS[sentence]])
    assert notices == (sentence,)
    assert [*metrics] == ["other"]


def test_many_faults_are_counted() -> None:
    """A program that reports nonsense in a loop adds only a few sentences, and only so many metrics are kept."""
    _, notices = gather(ReportedValue(f"{i}", 1) for i in range(1000))
    assert len(notices) == 6
    assert notices[-1] == "995 more of its metrics are left out"
    metrics, notices = gather(ReportedValue(f"m{i}", 1) for i in range(102))
    assert len(metrics) == 100
    assert notices[0] == "its metric m100 is left out: a run has at most 100"


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b'{"name": "x"}', b"\xff", b"[" * 99_999, b"3"])
def test_other_message_is_a_fault(message: bytes) -> None:
    """A message that is not a report is left out with a sentence."""
    assert gather([parse_report(message)]) == (
        {}, ("its metric a message is left out: it is not a report of pytest_edgeload.record",)
    )  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(JSON)
def test_any_report_is_a_metric_or_a_sentence(value: Any) -> None:
    """Any JSON in the place of a value, a name, a unit or a direction is a metric or a sentence, never an error."""
    for place in ("name", "value", "unit", "better", "series"):
        fields = {"name": "x", "value": 1, "unit": None, "better": None, "series": False, place: value}
        metrics, notices = gather([parse_report(json.dumps(fields).encode())])
        assert len(metrics) + len(notices) == 1
