"""Figures over the rounds of a case: pure functions. The replicate is the process run.

scipy and numpy are imported when an interval is asked for: together they take a second.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import zip_longest
from typing import Any

from pytest_edgeload.results.record import Measurement, Record
from pytest_edgeload.results.threshold import Figure, percent_of

CONFIDENCE = 0.95
_RESAMPLES, _BATCH = 9999, 1000
_SEED = 2020  # of the resampling: the same rounds give the same interval
_CERTAIN = 0.99
_REDUCE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median, "mean": statistics.fmean, "min": min, "max": max
}  # fmt: skip
_OUTLYING, _FEWEST = 3.5, 5  # Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): the modified z-score


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of the rounds that have the metric."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a value lies."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic over `runs` process runs, and where it lies with that confidence; no interval for a single run."""

    value: float
    interval: Interval | None
    runs: int
    confidence: float = CONFIDENCE

    @property
    def precision(self) -> float:
        """Half the interval, relative to the value; infinite where there is no interval."""
        if self.interval is None:
            return math.inf
        half = (self.interval.high - self.interval.low) / 2
        return 0.0 if half == 0 else half / abs(self.value) if self.value else math.inf


def spread(record: Record, metric: str) -> Spread | None:
    """Return the spread of a metric over the rounds of outcome ok; None where no round has it."""
    values = sorted(_values(record.rounds, metric))
    return Spread(statistics.median(values), values[0], values[-1]) if values else None


def ratios(record: Record, reference: Record, metric: str) -> list[float]:
    """Return the metric relative to the reference's in the same round, for the rounds that both have."""
    mine, theirs = _by_turn(record, metric), _by_turn(reference, metric)
    return [mine[turn] / theirs[turn] for turn in mine if theirs.get(turn)]


def ratio(record: Record, reference: Record, metric: str) -> float | None:
    """Return the median over rounds of the metric relative to the reference's in the same round; None without any."""
    found = ratios(record, reference, metric)
    return statistics.median(found) if found else None


def multiple(record: Record, metric: str, unit: str) -> float | None:
    """Return the median over rounds of one metric relative to another one of the same run; None without any."""
    found = [(m.value(metric), m.value(unit)) for m in record.rounds if m.outcome == "ok"]
    ratios = [value / one for value, one in found if value is not None and one]
    return statistics.median(ratios) if ratios else None


def outcomes(record: Record) -> dict[str, int]:
    """Return how often each outcome came up, most frequent first."""
    found = [measurement.outcome for measurement in record.rounds]
    return dict(sorted(((o, found.count(o)) for o in dict.fromkeys(found)), key=lambda pair: -pair[1]))


Runs = Sequence[Sequence[float]]
"""The samples of each process run: one of most metrics, one for each answered request of response times."""


def runs_of(record: Record, figure: Figure, reference: Record | None = None) -> Runs:
    """Return the samples of `figure`, relative to `reference` round by round where it is a ratio to one.

    Only a percentile looks into a run; for anything else a run with several samples counts as their mean.
    """
    if figure.reference is not None:
        return [] if reference is None else [[value] for value in ratios(record, reference, figure.metric)]
    if percent_of(figure.stat) is None:
        return [[value] for value in _values(record.rounds, figure.metric)]
    found = [measurement.value(figure.metric) for measurement in record.rounds if measurement.outcome == "ok"]
    samples = [value if isinstance(value, tuple) else (value,) for value in found]
    kept = [[value for value in some if value is not None] for some in samples]
    return [some for some in kept if some]


def value_of(runs: Runs, stat: str = "median") -> float | None:
    """Return the statistic alone, for which nothing has to be drawn; None without a run."""
    samples = [value for run in runs for value in run]
    percent = percent_of(stat)
    if not samples or percent is None:
        return float(_REDUCE[stat](samples)) if samples else None
    import numpy as np  # noqa: PLC0415

    return float(np.percentile(samples, percent))


def lacking(runs: Runs, stat: str) -> int | None:
    """Return how many samples the statistic needs, where there are fewer; None where there are enough."""
    percent = percent_of(stat)
    needed = 1 if percent is None else samples_needed(percent)
    return needed if sum(map(len, runs)) < needed else None


def samples_needed(percent: float) -> int:
    """Return the samples that a percentile needs: with 99 % certainty more than one of them lies beyond it.

    The rule by which MLPerf's load generator stops early: 11 for the median, 64 for p90, 662 for p99.
    """
    beyond = min(percent, 100 - percent) / 100
    count = 2
    while (1 - beyond) ** count + count * beyond * (1 - beyond) ** (count - 1) > 1 - _CERTAIN:
        count += 1
    return count


def estimate(runs: Runs, stat: str = "median", confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the statistic and its bootstrap interval, whole runs being drawn; None without a run."""
    return _estimate(tuple(map(tuple, runs)), stat, confidence) if runs else None


@lru_cache(maxsize=4096)
def _estimate(runs: tuple[tuple[float, ...], ...], stat: str, confidence: float) -> Estimate:
    """Return what `estimate` does; reports ask for the same interval several times, which takes 10 ms each."""
    value, interval = _bootstrap([runs], stat, lambda only: only, confidence)
    return Estimate(value, interval, len(runs), confidence)


def contrast(
    before: Runs, after: Runs, stat: str, of: Callable[[Any, Any], Any], confidence: float = CONFIDENCE
) -> Estimate:
    """Return `of` the statistic before and after, and its interval; the runs of both sides are drawn by themselves.

    There must be a run of each. `of` is given arrays, too.
    """
    value, interval = _bootstrap([before, after], stat, of, confidence)
    return Estimate(value, interval, min(len(before), len(after)), confidence)


def is_precise(record: Record, precision: float, least: int) -> bool:
    """Tell whether the interval of the main median is narrow enough, after at least so many rounds.

    What has no good round will not become more precise.
    """
    runs = runs_of(record, Figure(record.case.main_metric))
    found = estimate(runs)
    return len(record.rounds) >= least and (found is None or found.precision <= precision)


def outliers(record: Record, metric: str) -> list[Measurement]:
    """Return the rounds whose metric is far from the others; they count all the same."""
    rounds = [m for m in record.rounds if m.outcome == "ok" and isinstance(m.value(metric), int | float)]
    values = [m.value(metric) for m in rounds]
    if len(values) < _FEWEST:
        return []
    median = statistics.median(values)
    deviation = statistics.median(abs(value - median) for value in values)
    return [m for m in rounds if deviation and 0.6745 * abs(m.value(metric) - median) / deviation > _OUTLYING]


def _bootstrap(
    sides: Sequence[Runs], stat: str, of: Callable[..., Any], confidence: float
) -> tuple[float, Interval | None]:
    """Return `of` the statistic of each side, and its percentile interval; None if no side has two runs."""
    import numpy as np  # noqa: PLC0415

    percent = percent_of(stat)
    reduce = getattr(np, f"nan{stat}") if percent is None else partial(np.nanpercentile, q=percent)
    tables = [np.array(list(zip_longest(*side, fillvalue=math.nan))).T for side in sides]  # runs by samples

    def drawn(*indices: Any, axis: int = -1) -> Any:
        pools = [table[i.astype(int)].reshape(*i.shape[:-1], -1) for table, i in zip(tables, indices, strict=True)]
        return of(*(reduce(pool, axis=axis) for pool in pools))

    value = float(drawn(*(np.arange(len(side)) for side in sides)))
    if all(len(side) == 1 for side in sides):
        return value, None
    if all(len({tuple(run) for run in side}) == 1 for side in sides):
        return value, Interval(value, value)
    from scipy.stats import bootstrap  # noqa: PLC0415

    # A single run can only be drawn again, which scipy refuses to do.
    numbers = [np.arange(len(side)) if len(side) > 1 else np.zeros(2) for side in sides]
    found = bootstrap(
        numbers, drawn, n_resamples=_RESAMPLES, batch=_BATCH, vectorized=True, confidence_level=confidence,
        method="percentile", rng=np.random.default_rng(_SEED),
    ).confidence_interval  # fmt: skip
    return value, Interval(float(found.low), float(found.high))


def _by_turn(record: Record, metric: str) -> dict[tuple[int, int], float]:
    """Return the metric by round and place in the round: a test may measure the same case several times in one."""
    turns = Counter[int]()
    found: dict[tuple[int, int], float] = {}
    for measurement in record.rounds:
        for value in _values([measurement], metric):
            found[measurement.round, turns[measurement.round]] = value
        turns[measurement.round] += 1
    return found


def _values(rounds: Iterable[Measurement], metric: str) -> list[float]:
    """Return the metric of the rounds that were ok and have it; of a list of figures, its mean."""
    found = [measurement.value(metric) for measurement in rounds if measurement.outcome == "ok"]
    means = [_mean(value) if isinstance(value, tuple) else value for value in found]
    return [value for value in means if value is not None]


def _mean(values: tuple[float | None, ...]) -> float | None:
    """Return the mean of the requests that have the figure; None where no one has it."""
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None
