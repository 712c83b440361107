"""The bootstrap draws whole runs, and all cases share the same resamples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.bootstrap import Distribution, Runs, contrast, resampled

STATS = ("median", "mean", "min", "max", "p25", "p90", "p99.9")
RUNS = st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=6), min_size=1, max_size=6)


def _made(values: list[float], stream: int = 0) -> Distribution:
    return resampled([[value] for value in values], float(np.median(values)), "median", stream)


@given(RUNS, st.sampled_from(STATS), st.integers(0, 9998))
def test_draw_is_the_statistic_of_a_resample(runs: Runs, stat: str, draw: int) -> None:
    """Each draw is the statistic that numpy computes of all samples of as many runs, some of them several times."""
    rng = np.random.default_rng(2020)
    times = rng.multinomial(len(runs), [1 / len(runs)] * len(runs), 9999)[draw]
    if stat == "mean":
        ordered = list(runs)
    else:  # runs are numbered in the order of their smallest samples
        ordered = [runs[i] for _, i in sorted((min(run), i) for i, run in enumerate(runs))]
    pool = [sample for run, count in zip(ordered, times, strict=True) for _ in range(count) for sample in run]
    expected = np.percentile(pool, float(stat[1:])) if stat.startswith("p") else getattr(np, stat)(pool)
    assert resampled(runs, 0.0, stat).draws[draw] == pytest.approx(expected, abs=1e-9)


def test_same_runs_have_the_same_distribution() -> None:
    """The same runs have the same interval in every session, whatever their order."""
    one, other = _made([1.0, 2.0, 5.0, 7.0]), _made([7.0, 2.0, 1.0, 5.0])
    assert one.interval == other.interval
    assert (one.draws == other.draws).all()


def test_sides_are_resampled_separately() -> None:
    """The two sides of a comparison do not have the same resamples, so equal sides have an interval around zero."""
    same = [1.0, 2.0, 3.0, 4.0, 5.0]
    difference = contrast(_made(same), _made(same, stream=1), lambda then, now: now - then)
    assert difference.value == 0
    assert difference.interval is not None
    assert difference.interval.low < 0 < difference.interval.high
    assert 0.9 < difference.doubt <= 1


def test_doubt_agrees_with_the_interval() -> None:
    """The doubt is below 5 % if the interval lies above zero; a single run is not in doubt."""
    for shift in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        made = _made([1.0, 2.0, 3.0, 4.0, 5.0]).mapped(lambda value, shift=shift: value - 3 + shift)  # type: ignore[misc]
        assert made.interval is not None
        assert (made.doubt < 0.05) == (made.interval.low > 0)
    assert _made([1.0]).interval is None
    assert _made([1.0]).doubt == 0
