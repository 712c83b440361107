"""The bootstrap of whole process runs: the values of a statistic over many resamples of the same runs.

Which runs a resample has depends only on their number, never on their values. So all cases of a session share the same
resamples, and a comparison takes a fraction of a millisecond. numpy is imported only when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pytest_edgeload.results.naming import percent_of

CONFIDENCE = 0.95
"""The confidence of every interval that is shown."""

_RESAMPLES = 9999
_SEED = 2020  # the same runs give the same interval
_QUANTILES = {"median": 50.0, "min": 0.0, "max": 100.0}
_CACHED = 64  # numbers of runs, twice for the two sides of a comparison

Runs = Sequence[Sequence[float]]
"""The samples of each process run: one for most metrics, one per answered request for response times."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """A statistic, and its values over the resamples as an array.

    `runs` is the number of process runs of the side that has fewer, `max_runs` of the one that has more.
    """

    value: float
    draws: Any
    runs: int
    max_runs: int

    @property
    def interval(self) -> Interval | None:
        """The percentile interval; None if there is a single run."""
        import numpy as np  # noqa: PLC0415

        if self.max_runs == 1:
            return None
        ordered = np.sort(self.draws)  # ten times as fast as numpy's quantile
        outside = round(len(ordered) * (1 - CONFIDENCE) / 2)
        return Interval(float(ordered[outside]), float(ordered[-outside - 1]))

    @property
    def half(self) -> float:
        """Half the width of the interval; 0 without one."""
        interval = self.interval
        return 0.0 if interval is None else (interval.high - interval.low) / 2

    @property
    def doubt(self) -> float:
        """Twice the share of resamples that are not above zero; 0 if there is a single run.

        It is at most 0.05 if the 95 % interval lies above zero.
        """
        return 0.0 if self.max_runs == 1 else min(1.0, 2 * float((self.draws <= 0).mean()))

    def mapped(self, of: Callable[[Any], Any]) -> Distribution:
        """Return the distribution of `of(statistic)`, which is called with a number and with an array."""
        return replace(self, value=float(of(self.value)), draws=of(self.draws))


def resampled(runs: Runs, value: float, stat: str, stream: int = 0) -> Distribution:
    """Return the distribution of the statistic of `runs`, which has this `value`.

    The two sides of a comparison have different streams, because they are resampled separately.
    """
    import numpy as np  # noqa: PLC0415

    percent = _QUANTILES.get(stat, percent_of(stat))
    if percent is None:
        counts = _counts(len(runs), stream)
        draws = counts @ np.array([sum(run) for run in runs]) / (counts @ np.array([len(run) for run in runs]))
    else:
        ordered = sorted((sample, number) for number, run in enumerate(runs) for sample in run)
        names: dict[int, int] = {}
        layout = tuple(names.setdefault(number, len(names)) for _, number in ordered)
        low, high, share = _positions(layout, percent, stream)
        samples = np.array([sample for sample, _ in ordered])
        draws = samples[low] if share is None else samples[low] + share * (samples[high] - samples[low])
    return Distribution(value, draws, len(runs), len(runs))


def contrast(then: Distribution, now: Distribution, of: Callable[[Any, Any], Any]) -> Distribution:
    """Return the distribution of `of(then, now)`, which is called with numbers and with arrays."""
    runs, max_runs = min(then.runs, now.runs), max(then.max_runs, now.max_runs)
    return Distribution(float(of(then.value, now.value)), of(then.draws, now.draws), runs, max_runs)


@lru_cache(maxsize=_CACHED)
def _counts(runs: int, stream: int) -> Any:
    """Return how often each resample has each run: an array of resamples by runs."""
    import numpy as np  # noqa: PLC0415

    return np.random.default_rng(_SEED + stream).multinomial(runs, [1 / runs] * runs, _RESAMPLES).astype(float)


@lru_cache(maxsize=_CACHED)
def _positions(layout: tuple[int, ...], percent: float, stream: int) -> tuple[Any, Any, Any]:
    """Return the percentile of each resample as positions of samples: the lower, the higher, and the share of the way.

    The share is None if no percentile is between two samples, as in the median of an odd number of runs.

    `layout` has the run of each sample, in the order of the samples. Runs are numbered by their first sample, so a case
    with one sample per run has the same layout, and the same positions, as every other.
    """
    import numpy as np  # noqa: PLC0415

    counts = _counts(max(layout) + 1, stream)
    is_of = np.zeros((len(layout), counts.shape[1]))
    is_of[np.arange(len(layout)), layout] = 1
    up_to = is_of.cumsum(axis=0)  # samples of each run that are not above this sample
    place = (counts @ up_to[-1] - 1) * percent / 100
    low, high = (_position(counts, up_to, rank) for rank in (np.floor(place), np.ceil(place)))
    return low, high, place - np.floor(place) if (low != high).any() else None


def _position(counts: Any, up_to: Any, rank: Any) -> Any:
    """Return the position of the sample that has this rank, from 0, in each resample, by bisection."""
    import numpy as np  # noqa: PLC0415

    low, high = np.zeros(len(counts), int), np.full(len(counts), len(up_to) - 1)
    for _ in range(math.ceil(math.log2(len(up_to))) if len(up_to) > 1 else 0):
        middle = (low + high) // 2
        is_reached = (counts * up_to[middle]).sum(axis=1) > rank
        low, high = np.where(is_reached, low, middle + 1), np.where(is_reached, middle, high)
    return low
