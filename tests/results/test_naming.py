"""Names of metrics have one meaning: that of a built-in metric, a statistic, a column or a program's own metric."""

from __future__ import annotations

import re

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import Better, Metric, implied
from pytest_edgeload.results.naming import can_be_own, check_own_name, short, similar


def test_short_names_are_unique() -> None:
    """No two metrics have the same short name."""
    assert len({short(metric) for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(
    ("name", "unit", "better"),
    [
        ("tokens_per_s", "1/s", "higher"),
        ("first_token_s", "s", "lower"),
        ("cache_bytes", "bytes", "lower"),
        ("anon_at.unloaded", "bytes", "lower"),
        ("leak", "bytes/repetition", "lower"),
        ("rtf", "", "neither"),
        ("latency_ms", "", "neither"),
    ],
)
def test_unit_and_direction_follow_from_the_name(name: str, unit: str, better: Better) -> None:
    """The ending of a name gives the unit and the direction, unless the program gives others."""
    assert implied(name) == Metric(unit, better)


@pytest.mark.parametrize(
    "name", ["tokens_per_s", "rtf", "leak", "load_ms", "speed", "score", "response_time_s", "read_per_s", "élan"]
)
def test_natural_names_are_allowed(name: str) -> None:
    """Names that resemble a built-in one only in part are a program's own."""
    assert can_be_own(name)
    check_own_name(name)


@pytest.mark.parametrize(("name", "other"), [("peek", "peak"), ("makspan_s", "makespan"), ("wokrload", "workload")])
def test_misspelled_names_are_recognized(name: str, other: str) -> None:
    """One letter that is wrong or missing, or two that are swapped, are a misspelling."""
    assert similar(name) == other


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("makespan", "this name is taken: every run has it; choose another, such as own_makespan"),
        ("peak_bytes", "this name is taken: every run has it; choose another, such as own_peak_bytes"),
        ("rounds", "this name is taken: it is a column of every table; choose another, such as own_rounds"),
        ("reads", "this name looks like a misspelling of read; choose another, such as own_reads"),
        ("latency.p50", "this name is that of a statistic; choose another, such as own_latency_p50"),
        ("a b", "not a name; use letters, digits and _, such as tokens_per_s"),
        ("", "not a name; use letters, digits and _, such as tokens_per_s"),
        (3, "not a name; use letters, digits and _, such as tokens_per_s"),
    ],
)
def test_name_with_another_meaning_is_refused(name: object, sentence: str) -> None:
    """A name that is taken, a statistic, or a likely misspelling is refused with a way out."""
    with pytest.raises(UsageError, match=f": {re.escape(sentence)}$"):
        check_own_name(name)
