"""Names of metrics have one meaning: that of a built-in metric, a statistic, a column or a program's own metric."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import Better, Metric, OwnMetric, implied
from pytest_edgeload.results.naming import can_be_own, check_own_name, own_metric, short, similar


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
    assert own_metric(name, 3).metric == implied(name)
    assert own_metric(name, 3, better="neither").better == "neither"


def test_program_may_give_any_unit_that_does_not_contradict_the_name() -> None:
    """A unit and a direction that the program gives count; a series keeps its numbers."""
    assert own_metric("tokens_per_s", 31.2, "tokens/s") == OwnMetric(31.2, "tokens/s", "higher")
    assert own_metric("rtf", [0.5, 1], better="lower") == OwnMetric((0.5, 1), "", "lower")


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
        ("makespan", "makespan is a name of edgeload's own; choose another, such as own_makespan"),
        ("peak_bytes", "peak_bytes is a name of edgeload's own; choose another, such as own_peak_bytes"),
        ("rounds", "rounds is a name of edgeload's own; choose another, such as own_rounds"),
        ("reads", "reads looks like a misspelling of read; choose another, such as own_reads"),
        ("latency.p50", "latency.p50 names a statistic; choose another, such as own_latency_p50"),
        ("a b", "'a b' cannot name a metric; use letters, digits and '_', as in tokens_per_s"),
        ("", "'' cannot name a metric; use letters, digits and '_', as in tokens_per_s"),
    ],
)
def test_name_with_another_meaning_is_refused(name: str, sentence: str) -> None:
    """A name that is taken, a statistic, or a likely misspelling is refused with a way out."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        own_metric(name, 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("rtf", "fast"), "rtf is 'fast', which is not a number"),
        (("rtf", True), "rtf is True, which is not a number"),
        (("rtf", [1, None]), "rtf is None, which is not a number"),
        (("rtf", []), "rtf is a series without a number"),
        (("rtf", math.nan), "rtf is nan, which is not a finite number"),
        (("rtf", 10**200), re.compile("rtf is 10+[.]+0+, which is not a number between -1e100 and 1e100")),
        (("first_s", 3, "ms"), "first_s is in s by its name, not in ms; choose another name"),
        (("rtf", 3, "x" * 51), "rtf: its unit is not a short text; try s, bytes or 1/s"),
        (("rtf", 3, "", "up"), "rtf: 'up' is not a direction; choose from lower, higher, neither"),
    ],
)
def test_invalid_metric_is_refused_in_a_sentence(arguments: tuple[Any, ...], sentence: str | re.Pattern[str]) -> None:
    """A value, a unit or a direction that means nothing is refused, and the sentence names the metric."""
    expected = sentence if isinstance(sentence, re.Pattern) else f"^{re.escape(sentence)}$"
    with pytest.raises(ValueError, match=expected):
        own_metric(*arguments)
