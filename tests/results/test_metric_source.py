"""Sources of metrics: the grammar names a place, and refuses anything else in a sentence with a way out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.source import JsonPath, MetricSource, Pattern, parse_metric

PLACES = {
    "$": JsonPath(()),
    "$.timings.predicted_per_second": JsonPath(("timings", "predicted_per_second")),
    "$[-1].avg_ts": JsonPath((-1, "avg_ts")),
    "$.requests[*].latency_s": JsonPath(("requests", None, "latency_s")),
    '$["tokens / s"][0]': JsonPath(("tokens / s", 0)),
    " $.spaces ": JsonPath(("spaces",)),
    "out/result.json:$.x": JsonPath(("x",), "out/result.json"),
    "a:$b.json:$": JsonPath((), "a:$b.json"),
    r"/(?P<value>[\d.]+) t\/s/": Pattern(r"(?P<value>[\d.]+) t\/s"),
    "/^took (?P<value>.*)ms/g": Pattern("^took (?P<value>.*)ms", is_series=True),
}

REFUSED = {
    "": "source '': neither a path in JSON nor a regular expression",
    "timings.x": "neither a path in JSON nor a regular expression; try $.tokens_per_s",
    "result.json": "neither a path",
    "$.a..b": "not a path in JSON from '..b' on",
    "$.a[x]": "from '[x]' on",
    "/seconds/": "source /seconds/: no group is the number; mark it",
    "/(/": "source /(/: not a regular expression: missing )",
    "/(?P<value>x){99999999999999999999}/": "not a regular expression",
}


@pytest.mark.parametrize("text", PLACES)
def test_source_names_a_place(text: str) -> None:
    """A source is a path in JSON, a path in a file, or a regular expression for one match or every match."""
    assert MetricSource(text).place == PLACES[text]


@pytest.mark.parametrize("text", REFUSED)
def test_other_text_is_refused(text: str) -> None:
    """Any other text is refused in one sentence that names it."""
    with pytest.raises(UsageError) as refused:
        MetricSource(text)
    assert REFUSED[text] in str(refused.value)


@given(st.text(alphabet='$.[]*/(?P<value>)g:-0a"\\ ', max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text raises another error than UsageError."""
    with suppress(UsageError):
        assert isinstance(MetricSource(text).place, JsonPath | Pattern)


def test_named_source_has_name_unit_and_direction() -> None:
    """The command line writes a metric as NAME=SOURCE, and may add a unit and a direction to the name."""
    assert parse_metric("tokens_per_s=$.x") == ("tokens_per_s", MetricSource("$.x"))
    assert parse_metric("speed:tok/s:higher=$.x") == ("speed", MetricSource("$.x", "tok/s", "higher"))
    assert parse_metric("wer:lower=/(?P<value>.)=:/") == ("wer", MetricSource("/(?P<value>.)=:/", None, "lower"))
    assert parse_metric("speed:tok/s=a=b.json:$.x") == ("speed", MetricSource("a=b.json:$.x", "tok/s"))


def test_named_source_is_refused_with_its_text() -> None:
    """A text without a name, a name that no metric can have, and a name of a metric of every run are refused."""
    for text, sentence in {
        "$.x": "$.x: not a metric and its source; try tokens_per_s=$.timings.predicted_per_second",
        "=$.x": "metric '': not a name; use letters, digits and _, such as tokens_per_s",
        "a b=$.x": "metric 'a b': not a name",
        "makespan_s=$.x": "metric makespan_s: this name is taken: every run has it; choose another",
    }.items():
        with pytest.raises(UsageError) as refused:
            parse_metric(text)
        assert sentence in str(refused.value)


def test_direction_and_type_are_checked() -> None:
    """A direction that does not exist and a source that is not text are refused."""
    with pytest.raises(UsageError, match="better='up': not a direction; give higher or lower or neither"):
        MetricSource("$.x", better="up")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="source 3: not text; try"):
        MetricSource(3)  # type: ignore[arg-type]


DOCUMENT = {"a": {"b": [1, 2.5, {"c": True}]}, "all": [{"s": 1}, {"s": 2}]}


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.a.b[0]", 1), ("$.a.b[-1].c", True), ("$.all[*].s", [1, 2]), ("$.a.b[:2]", None), ("$", DOCUMENT)],
)
def test_path_finds_a_value(path: str, value: Any) -> None:
    """A path leads through objects and lists; `[*]` takes every item."""
    if value is None:
        with pytest.raises(UsageError):
            MetricSource(path)
        return
    place = MetricSource(path).place
    assert isinstance(place, JsonPath)
    assert place.find(DOCUMENT) == value


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$.x", "$ has no 'x', only ['a', 'all']"),
        ("$.a.b.c", "$.a.b has no 'c'"),
        ("$.a.b[3]", "$.a.b has no 3"),
        ("$.a[0]", "$.a has no 0, only ['b']"),
        ("$.all[*].t", "$.all[0] has no 't', only ['s']"),
        ("$.a[*]", "$.a is not a list"),
    ],
)
def test_missing_value_is_named(path: str, reason: str) -> None:
    """A path that leads nowhere says where it ends."""
    place = MetricSource(path).place
    assert isinstance(place, JsonPath)
    with pytest.raises(ValueError) as missing:  # noqa: PT011  # the message is compared
        place.find(DOCUMENT)
    assert str(missing.value) == reason
