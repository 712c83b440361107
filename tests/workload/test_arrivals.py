"""Arrival processes give times in order, the same for the same seed, and spread as they say."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_edgeload.workload.arrivals import (
    PROCESSES,
    Constant,
    Exponential,
    Normal,
    Poisson,
    Process,
    Trace,
    Uniform,
)

SECONDS = st.floats(1e-6, 1e6)
RANGES = st.tuples(SECONDS, SECONDS).map(sorted)
RANDOM = st.one_of(
    st.builds(lambda both: Uniform(*both), RANGES),
    st.builds(Normal, SECONDS, SECONDS),
    st.builds(Exponential, SECONDS),
    st.builds(Poisson, SECONDS),
)
TRACES = st.builds(lambda times: Trace(tuple(sorted(times))), st.lists(SECONDS, min_size=20, max_size=25))
ANY = st.one_of(RANDOM, st.builds(Constant, SECONDS), TRACES)
COUNTS, SEEDS = st.integers(0, 20), st.integers(0)


@given(ANY, COUNTS, SEEDS)
def test_times_are_in_order(process: Process, count: int, seed: int) -> None:
    """There are as many times as asked for, finite, from 0 on and in order, and the same whenever asked again."""
    times = process.times(count, seed)
    assert len(times) == count
    assert all(0 <= at < math.inf for at in times)
    assert all(before <= after for before, after in pairwise(times))
    assert times == process.times(count, seed)


@given(ANY, COUNTS, COUNTS, SEEDS)
def test_more_arrivals_change_no_earlier_one(process: Process, count: int, more: int, seed: int) -> None:
    """The times of the first arrivals do not depend on how many follow."""
    least, most = sorted((count, more))
    assert process.times(most, seed)[:least] == process.times(least, seed)


@given(RANDOM, SEEDS, SEEDS)
def test_another_seed_gives_other_times(process: Process, seed: int, other: int) -> None:
    """A random process gives other times for another seed."""
    assume(seed != other and not (isinstance(process, Uniform) and process.max_s - process.min_s < 1e-6))
    assert process.times(5, seed) != process.times(5, other)


@given(st.builds(Constant, SECONDS) | TRACES, COUNTS, SEEDS, SEEDS)
def test_what_is_not_random_has_no_seed(process: Process, count: int, seed: int, other: int) -> None:
    """Constant intervals and traces are the same for every seed."""
    assert process.times(count, seed) == process.times(count, other)


def test_constant_begins_at_once() -> None:
    """Constant arrivals come every so many seconds, the first at 0."""
    assert Constant(2.5).times(4, 0) == (0.0, 2.5, 5.0, 7.5)


def test_a_trace_is_what_was_recorded() -> None:
    """A trace gives its own times, as many of the first as asked for."""
    assert Trace((0.5, 0.5, 2.0)).times(2, 0) == (0.5, 0.5)


def _truncated(mean: float, deviation: float) -> tuple[float, float]:
    """Return mean and deviation of a normal distribution's positive part (Johnson, Kotz, Balakrishnan 1994, 13.10)."""
    cut, normal = -mean / deviation, statistics.NormalDist()
    hazard = normal.pdf(cut) / (1 - normal.cdf(cut))
    return mean + deviation * hazard, deviation * math.sqrt(1 + cut * hazard - hazard**2)


@pytest.mark.parametrize(
    ("process", "mean_s", "deviation_s"),
    [
        (Uniform(1.0, 3.0), 2.0, 2 / math.sqrt(12)),
        (Uniform(0.0, 0.5), 0.25, 0.5 / math.sqrt(12)),
        (Normal(2.0, 0.25), 2.0, 0.25),
        (Normal(1.0, 2.0), *_truncated(1.0, 2.0)),
        (Exponential(0.5), 0.5, 0.5),
        (Poisson(4.0), 0.25, 0.25),
    ],
)
def test_intervals_are_spread_as_said(process: Process, mean_s: float, deviation_s: float) -> None:
    """Of 20,000 intervals, the first from 0 on, mean and deviation are those of the distribution within 3 percent."""
    intervals = [after - before for before, after in pairwise((0.0, *process.times(20_000, 1)))]
    assert statistics.fmean(intervals) == pytest.approx(mean_s, rel=0.03)
    assert statistics.stdev(intervals) == pytest.approx(deviation_s, rel=0.03)


def test_uniform_intervals_stay_within() -> None:
    """No uniform interval is shorter than the least or longer than the most, but for rounding."""
    intervals = [after - before for before, after in pairwise((0.0, *Uniform(1.0, 1.5).times(2000, 1)))]
    assert 1.0 - 1e-9 <= min(intervals) < 1.01
    assert 1.49 < max(intervals) <= 1.5 + 1e-9


NOT_POSITIVE = [0.0, -1.5, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("value", NOT_POSITIVE)
@pytest.mark.parametrize(
    ("name", "kind", "others"),
    [
        ("every_s", Constant, {}),
        ("max_s", Uniform, {"min_s": 0.0}),
        ("mean_s", Normal, {"sd_s": 1.0}),
        ("sd_s", Normal, {"mean_s": 1.0}),
        ("mean_s", Exponential, {}),
        ("rate_per_s", Poisson, {}),
    ],
)
def test_parameters_are_positive(name: str, kind: type, others: dict[str, float], value: float) -> None:
    """Zero, a negative number, an infinite one and none are refused by the parameter's name."""
    with pytest.raises(ValueError, match=rf"^{name}={value:g} is not positive$"):
        kind(**{name: value}, **others)


@pytest.mark.parametrize("min_s", [-0.5, 2.5, math.inf, math.nan])
def test_a_range_is_a_range(min_s: float) -> None:
    """A least interval that is negative, more than the most or no number is refused."""
    with pytest.raises(ValueError, match=rf"^min_s={min_s:g} is not between 0 and max_s=2$"):
        Uniform(min_s, 2.0)


@pytest.mark.parametrize("times", [(1.0, 0.5), (-1.0, 0.0), (0.0, math.inf), (math.nan,)])
def test_a_trace_is_in_order(times: tuple[float, ...]) -> None:
    """Times that decrease, are before the start or are not finite are refused."""
    with pytest.raises(ValueError, match=r"^at_s is not a trace; give times from 0 s on, in order, or"):
        Trace(times)


def test_a_trace_ends() -> None:
    """A trace that is asked for more than it has says how many it has."""
    with pytest.raises(ValueError, match=r"^the trace has 2 times for 3 arrivals; record more or request fewer$"):
        Trace((0.0, 1.0)).times(3, 0)


@pytest.mark.parametrize(
    ("process", "text"),
    [
        (Constant(0.25), "constant, every 0.25 s"),
        (Uniform(0.0, 1.5), "uniform, every 0 to 1.5 s"),
        (Normal(2.0, 0.5), "normal, every 2 s, deviation 0.5 s"),
        (Exponential(0.1), "exponential, every 0.1 s"),
        (Poisson(3.0), "poisson, 3 a second"),
    ],
)
def test_text_names_the_process_and_its_parameters(process: Process, text: str) -> None:
    """The text of a process names its kind and all its parameters with their units."""
    assert str(process) == text


@given(ANY, ANY)
def test_only_equal_processes_have_equal_texts(process: Process, other: Process) -> None:
    """No two different processes have the same text."""
    assert (str(process) == str(other)) == (process == other)


@given(SECONDS)
def test_close_parameters_have_other_texts(parameter: float) -> None:
    """Processes have different texts however little their parameters differ."""
    next_s = math.nextafter(parameter, math.inf)
    for kind in (Constant, Exponential, Poisson):
        assert str(kind(parameter)) != str(kind(next_s))
    assert len({str(Normal(a, b)) for a in (parameter, next_s) for b in (parameter, next_s)}) == 4
    assert str(Uniform(parameter, parameter)) != str(Uniform(parameter, next_s))
    assert str(Trace((parameter,))) != str(Trace((next_s,)))


@given(ANY)
def test_processes_survive_json(process: Process) -> None:
    """A process that went through JSON is the same process, found among all by its tag."""
    kinds = Constant | Uniform | Normal | Exponential | Poisson | Trace
    assert set(PROCESSES) == set(kinds.__args__)
    assert msgspec.json.decode(msgspec.json.encode(process), type=kinds) == process
