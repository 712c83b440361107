"""Thresholds and ceilings are parsed from text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.threshold import (
    GATED,
    Ceiling,
    Figure,
    Term,
    Threshold,
    parse_figure,
    parse_thresholds,
)

MAKESPAN, PEAK = Figure("makespan_s"), Figure("peak_bytes")


@pytest.mark.parametrize(
    ("text", "figure", "terms"),
    [
        ("makespan:10%", MAKESPAN, [Term(0.1, is_share=True)]),
        ("makespan_s:10%", MAKESPAN, [Term(0.1, is_share=True)]),
        (" makespan : 2.5% ", MAKESPAN, [Term(0.025, is_share=True)]),
        ("makespan:10%+0.2s", MAKESPAN, [Term(0.1, is_share=True), Term(0.2)]),
        ("makespan:250ms", MAKESPAN, [Term(0.25)]),
        ("makespan:0", MAKESPAN, [Term(0.0)]),
        ("makespan/bulk:10%", Figure("makespan_s", reference="bulk"), [Term(0.1, is_share=True)]),
        ("makespan/torch-load:0.2", Figure("makespan_s", reference="torch-load"), [Term(0.2)]),
        ("makespan.mean/bulk:10%", Figure("makespan_s", "mean", "bulk"), [Term(0.1, is_share=True)]),
        ("response.p90:15%", Figure("response_s", "p90"), [Term(0.15, is_share=True)]),
        ("response.p99.9:15%", Figure("response_s", "p99.9"), [Term(0.15, is_share=True)]),
        ("peak:64M", PEAK, [Term(64 << 20)]),
        ("peak:4096B", PEAK, [Term(4096)]),
        ("peak:5%+8MiB", PEAK, [Term(0.05, is_share=True), Term(8 << 20)]),
        ("swap_in:0", Figure("swap_in_bytes"), [Term(0.0)]),
        ("major_faults:100", Figure("major_faults"), [Term(100)]),
        ("throughput:10%", Figure("throughput_per_s"), [Term(0.1, is_share=True)]),
        ("median:10%", MAKESPAN, [Term(0.1, is_share=True)]),
        ("min:5%", Figure("makespan_s", "min"), [Term(0.05, is_share=True)]),
        ("p90:5%", Figure("makespan_s", "p90"), [Term(0.05, is_share=True)]),
        ("tokens_per_s:5%", Figure("tokens_per_s"), [Term(0.05, is_share=True)]),
        ("tokens_per_s/mmap:0.5", Figure("tokens_per_s", reference="mmap"), [Term(0.5)]),
        ("latency_s.p99:50ms", Figure("latency_s", "p99"), [Term(0.05)]),
        ("latency_s.p99.9:50ms", Figure("latency_s", "p99.9"), [Term(0.05)]),
        ("anon_at.unloaded:8M", Figure("anon_at.unloaded"), [Term(8 << 20)]),
        ("anon_at.unloaded.max:8M", Figure("anon_at.unloaded", "max"), [Term(8 << 20)]),
        ("leak:4K", Figure("leak"), [Term(4096)]),
        ("ttft:0.5", Figure("ttft"), [Term(0.5)]),
        ("ttft:50ms", Figure("ttft"), [Term(0.05)]),
        ("cache:8M", Figure("cache"), [Term(8 << 20)]),
        ("in_time[camera]:5%", Figure("in_time[camera]"), [Term(0.05, is_share=True)]),
        ("rate[front door/2.a]:0.5", Figure("rate_per_s[front door/2.a]"), [Term(0.5)]),
        ("response[mic].p99.9/bulk:0.1", Figure("response_s[mic]", "p99.9", "bulk"), [Term(0.1)]),
        ("response_p90[mic]:20ms", Figure("response_p90_s[mic]"), [Term(0.02)]),
    ],
)
def test_threshold_is_a_figure_and_its_terms(text: str, figure: Figure, terms: list[Term]) -> None:
    """A threshold is a figure and its terms; a statistic by itself is that of the makespan."""
    threshold = Threshold.parse(text)
    assert (threshold.figure, list(threshold.terms), threshold.text) == (figure, terms, text.strip())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("makespan", "'makespan' is not a threshold; try makespan:10% or peak:64M"),
        ("makespan:", "makespan is a time, but '' is not; try 10% or 0.2s"),
        ("makespan:10", "makespan is a time, but '10' is not; try 10% or 0.2s"),
        ("makespan:64M", "makespan is a time, but '64M' is not; try 10% or 0.2s"),
        ("makespan:-5%", "makespan is a time, but '-5%' is not; try 10% or 0.2s"),
        ("makespan:5%+", "makespan is a time, but '' is not; try 10% or 0.2s"),
        ("makespan:1e3%", "makespan is a time, but '1e3%' is not; try 10% or 0.2s"),
        ("peak:0.2s", "peak is a number of bytes, but '0.2s' is not; try 10% or 64M"),
        ("peak:1.5", "peak is a number of bytes, but '1.5' has no unit; did you mean 1.5M\\?"),
        ("peak:10%+64", "peak is a number of bytes, but '64' has no unit; did you mean 64M\\?"),
        ("peak:64MB", "peak is a number of bytes, but '64MB' is not; try 10% or 64M"),
        ("makespan/bulk:0.2s", "makespan/bulk is a ratio, but '0.2s' is not; try 10% or 0.1"),
        ("major_faults:1M", "major_faults is a count, but '1M' is not; try 10% or 100"),
        ("makespam:10%", "makespam is not a metric; did you mean makespan\\?"),
        ("makespan.p0:10%", "'p0' is not a statistic; choose from median, mean, min, max or a percentile such as p90"),
        (
            "makespan.p100:10%",
            "'p100' is not a statistic; choose from median, mean, min, max or a percentile such as p90",
        ),
        (
            "makespan.stddev:10%",
            "'stddev' is not a statistic; choose from median, .* or a percentile such as p90",
        ),
        ("latency_s:5", "latency_s is a time, but '5' is not; try 10% or 0.2s"),
        ("tokens_per_s:5M", "tokens_per_s is a rate, but '5M' is not; try 10% or 0.5"),
        ("rtf:fast", "rtf is a number, but 'fast' is not; try 10% or 0.5"),
        ("latency_s.p100:5%", "'p100' is not a statistic; choose from median, .* or a percentile such as p90"),
        ("latency_s.medain:5%", "'medain' is not a statistic; choose from median, .* or a percentile such as p90"),
        ("a b:10%", "'a b' is not a figure; try makespan, response.p90 or makespan/bulk"),
        ("bound:10%", "bound is neither better nor worse when it changes; choose from makespan, .*"),
        ("peak[camera]:10%", r"peak is not a metric of streams; choose from requests_due, in_time, .*"),
        ("in_tme[camera]:10%", r"in_tme is not a metric of streams; did you mean in_time\?"),
        ("in_time[camera].p0:10%", r"'p0' is not a statistic; choose from median, .*"),
        ("in_time[a[b]:10%", r"'in_time\[a\[b\]' is not a figure; try makespan, response.p90 or makespan/bulk"),
        ("requests_due[camera]:10%", r"requests_due\[camera\] is neither better nor worse when it changes; .*"),
        ("bound_read:10%", "bound_read is ambiguous; choose from bound_read_s and bound_read_bytes"),
    ],
)
def test_text_that_is_not_a_threshold_is_refused(text: str, message: str) -> None:
    """What is not a threshold is refused in a sentence with the way out."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        Threshold.parse(text)


def test_comma_list_is_several_thresholds() -> None:
    """A comma list is several thresholds, and each applies."""
    assert parse_thresholds("makespan:10%, peak:64M,") == (
        Threshold.parse("makespan:10%"),
        Threshold.parse("peak:64M"),
    )


FIGURES = st.builds(
    Figure,
    st.sampled_from([*sorted(GATED), "tokens_per_s", "anon_at.loaded", "rtf", "in_time[camera]", "response_s[a.b]"]),
    st.sampled_from(["median", "mean", "p90"]),
    st.none() | st.just("bulk"),
)


@given(FIGURES)
def test_printed_figures_can_be_parsed(figure: Figure) -> None:
    """The text of a figure is parsed to the same figure."""
    assert parse_figure(str(figure)) == figure


@pytest.mark.parametrize(
    ("own", "text"),
    [
        (Metric("frames/s", "higher"), "1234 frames/s"),
        (Metric("s", "lower"), "1234s"),
        (Metric("bytes", "lower"), "1.2K"),
        (Metric("", "lower"), "1234"),
    ],
)
def test_figure_of_a_programs_own_metric_is_known_from_records(own: Metric, text: str) -> None:
    """A figure of a program's own metric has the unit and the direction of records; built-in metrics keep theirs."""
    figure = Figure("speed").known({"speed": own, "peak_bytes": own})
    assert (figure.unit, figure.is_higher_better) == (own.unit, own.better == "higher")
    assert figure.show(1234) == text
    assert figure == Figure("speed"), "the name is the identity"
    assert PEAK.known({"peak_bytes": own}).unit == "bytes"


def test_limit_in_a_wrong_unit_is_noticed_when_the_unit_is_known() -> None:
    """A duration or a size does not fit a metric in another unit; a plain number and a percentage fit each unit."""
    sentence = "the limit is a time, but the unit of the metric is frames/s"
    assert Threshold.parse("speed:50ms").mismatch("frames/s") == sentence
    assert Ceiling.parse("speed", "50ms").mismatch("frames/s") == sentence
    assert Threshold.parse("speed:10%+8M").mismatch("") == (
        "the limit is a number of bytes, but the unit of the metric is none"
    )
    assert Threshold.parse("speed:8M").mismatch("bytes/repetition") is None
    assert [Threshold.parse(f"speed:{limit}").mismatch("s") for limit in ("50ms", "0.05", "5%", "0")] == [None] * 4


@pytest.mark.parametrize(
    ("name", "text", "figure", "value"),
    [
        ("peak", "600M", PEAK, 600 << 20),
        ("swap_in_bytes", "0", Figure("swap_in_bytes"), 0),
        ("makespan", "0.5x bulk", Figure("makespan_s", reference="bulk"), 0.5),
        ("makespan", "1.5s", MAKESPAN, 1.5),
        ("response_p90_s", "80ms", Figure("response_p90_s"), 0.08),
        ("throughput", "3.5", Figure("throughput_per_s"), 3.5),
        ("tokens_per_s", "20", Figure("tokens_per_s"), 20),
        ("tokens_per_s", "0.9x mmap", Figure("tokens_per_s", reference="mmap"), 0.9),
    ],
)
def test_ceiling_is_a_figure_and_its_worst_value(name: str, text: str, figure: Figure, value: float) -> None:
    """A ceiling is a figure and its worst value, absolute or relative to a policy."""
    assert Ceiling.parse(name, text) == Ceiling(figure, value, f"{name} {text}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("peak", "10%", "a ceiling cannot be a percentage; try 64M or 0.5x bulk"),
        ("swap_in", "8", "swap_in is a number of bytes, but '8' has no unit; did you mean 8M\\?"),
        ("peek", "10M", "peek is not a metric; did you mean peak\\?"),
        ("peak", "x bulk", "peak is a number of bytes, but 'x bulk' is not; try 64M or 0.5x bulk"),
    ],
)
def test_invalid_ceiling_is_refused_with_a_hint(name: str, text: str, message: str) -> None:
    """An invalid ceiling is refused in a sentence with a hint."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        Ceiling.parse(name, text)
