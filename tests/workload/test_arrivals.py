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
    Gamma,
    Normal,
    Periodic,
    Poisson,
    Process,
    Trace,
    Uniform,
    Weibull,
    times_until,
)

SECONDS = st.floats(1e-6, 1e6)
RANGES = st.tuples(SECONDS, SECONDS).map(sorted)
SHAPES = st.floats(0.2, 20.0)
RANDOM = st.one_of(
    st.builds(lambda both: Uniform(*both), RANGES),
    st.builds(Normal, SECONDS, SECONDS),
    st.builds(Exponential, SECONDS),
    st.builds(Poisson, SECONDS),
    st.builds(Gamma, SECONDS, SHAPES),
    st.builds(Weibull, SECONDS, SHAPES),
)
PERIODIC = st.builds(lambda both: Periodic(both[1], both[0]), RANGES)
TRACES = st.builds(lambda times: Trace(tuple(sorted(times))), st.lists(SECONDS, min_size=20, max_size=25))
ANY = st.one_of(RANDOM, PERIODIC, st.builds(Constant, SECONDS), TRACES)
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
        (Gamma(0.5, 0.5), 0.5, 0.5 / math.sqrt(0.5)),
        (Gamma(2.0, 9.0), 2.0, 2.0 / math.sqrt(9.0)),
        (Weibull(0.5, 1.0), 0.5, 0.5),
        (Weibull(2.0, 2.0), 2.0, 2.0 * math.sqrt(4 / math.pi - 1)),
    ],
)
def test_intervals_are_spread_as_said(process: Process, mean_s: float, deviation_s: float) -> None:
    """Of 20,000 intervals, the first from 0 on, mean and deviation are those of the distribution within 3 percent."""
    intervals = [after - before for before, after in pairwise((0.0, *process.times(20_000, 2)))]
    assert statistics.fmean(intervals) == pytest.approx(mean_s, rel=0.03)
    assert statistics.stdev(intervals) == pytest.approx(deviation_s, rel=0.03)


def test_jitter_delays_each_arrival_within_its_period() -> None:
    """Each arrival is up to the jitter later than the start of its period, and the delays do not add up."""
    delays_s = [at_s - 2.0 * k for k, at_s in enumerate(Periodic(2.0, 0.5).times(2000, 1))]
    assert 0 <= min(delays_s) < 0.01
    assert 0.49 < max(delays_s) <= 0.5
    assert Periodic(2.0).times(3, 1) == (0.0, 2.0, 4.0)


@given(ANY, st.floats(0, 20), SEEDS)
def test_times_until_an_end_are_the_first_ones(process: Process, intervals: float, seed: int) -> None:
    """The times before an end are as many of the first as come before it."""
    mean_s = getattr(process, "mean_s", None) or 1.0
    times = times_until(process, intervals * mean_s, 10_000, seed)
    most = len(process.at_s) if isinstance(process, Trace) else len(times) + 1
    assert times == tuple(at_s for at_s in process.times(most, seed) if at_s < intervals * mean_s)


def test_a_trace_has_the_mean_interval_of_its_times() -> None:
    """The mean interval of a trace is between its arrivals; with one arrival, or all at once, it has none."""
    assert [Trace(at_s).mean_s for at_s in [(1.0, 2.0, 4.0), (1.0,), (1.0, 1.0), ()]] == [1.5, None, None, None]


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
        ("every_s", Periodic, {}),
        ("mean_s", Gamma, {"shape": 1.0}),
        ("mean_s", Weibull, {"shape": 1.0}),
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


@pytest.mark.parametrize("jitter_s", [-0.5, 2.5, math.inf, math.nan])
def test_jitter_is_within_the_period(jitter_s: float) -> None:
    """A jitter that is negative, longer than the period or not a number is refused."""
    with pytest.raises(ValueError, match=rf"^jitter_s={jitter_s:g} is not between 0 and every_s=2$"):
        Periodic(2.0, jitter_s)


@pytest.mark.parametrize("kind", [Gamma, Weibull])
@pytest.mark.parametrize("shape", [0.0, -1.0, 0.04, 1e7, math.inf, math.nan])
def test_shapes_are_within_the_range_of_the_formulas(kind: type, shape: float) -> None:
    """A shape so small or large that intervals could not be computed is refused."""
    with pytest.raises(ValueError, match=r"^shape=.* is not between 0\.05 and 1e\+06$"):
        kind(1.0, shape)


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
        (Periodic(0.25, 0.01), "periodic, every 0.25 s, jitter 0.01 s"),
        (Periodic(1 / 30), "periodic, every 0.03333333333333333 s, jitter 0 s"),
        (Periodic(86400.25), "periodic, every 86400.25 s, jitter 0 s"),
        (Gamma(0.5, 0.25), "gamma, every 0.5 s, shape 0.25"),
        (Weibull(0.5, 2.0), "weibull, every 0.5 s, shape 2"),
    ],
)
def test_text_names_the_process_and_its_parameters(process: Process, text: str) -> None:
    """The text of a process names its kind and all its parameters with their units; baselines contain it."""
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
    kinds = Constant | Periodic | Uniform | Normal | Exponential | Poisson | Gamma | Weibull | Trace
    assert set(PROCESSES) == set(kinds.__args__)
    assert msgspec.json.decode(msgspec.json.encode(process), type=kinds) == process
