"""Statistics over the rounds of a case, with their intervals: pure functions. The replicate is the process run.

scipy and numpy are imported only when an interval is needed, because together they take a second.
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

from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.results.record import METRICS, Measurement, Record
from pytest_edgeload.results.threshold import Figure, percent_of

CONFIDENCE = 0.95
_RESAMPLES, _BATCH = 9999, 1000
_SEED = 2020  # of the resampling: the same rounds give the same interval
_CERTAIN = 0.99
_REDUCE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median, "mean": statistics.fmean, "min": min, "max": max
}  # fmt: skip
_OUTLYING, _MIN_ROUNDS = 3.5, 5  # Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): modified z-score


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum of the rounds that have the metric."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic over `runs` process runs with its interval at this confidence; a single run has no interval."""

    value: float
    interval: Interval | None
    runs: int
    confidence: float = CONFIDENCE

    @property
    def precision(self) -> float:
        """Half the interval, relative to the value; infinite if there is no interval."""
        if self.interval is None:
            return math.inf
        half = (self.interval.high - self.interval.low) / 2
        return 0.0 if half == 0 else half / abs(self.value) if self.value else math.inf


def spread(record: Record, metric: str) -> Spread | None:
    """Return the spread of a metric over the rounds of outcome ok; None if no round has it."""
    values = sorted(_values(record.rounds, metric))
    return Spread(statistics.median(values), values[0], values[-1]) if values else None


def ratios(record: Record, reference: Record, metric: str) -> list[float]:
    """Return the ratios of the metric to the reference's in the same round, for the rounds that both have."""
    mine, theirs = _by_turn(record, metric), _by_turn(reference, metric)
    return [mine[turn] / theirs[turn] for turn in mine if theirs.get(turn)]


def ratio(record: Record, reference: Record, metric: str) -> float | None:
    """Return the median over rounds of the `metric` of `record` over that of `reference` in the same round.

    Returns None if no round has both.
    """
    values = ratios(record, reference, metric)
    return statistics.median(values) if values else None


def multiple(record: Record, metric: str, unit: str) -> float | None:
    """Return the median over rounds of the ratio of two metrics of the same run; None if no run has both."""
    pairs = [(m.value(metric), m.value(unit)) for m in record.rounds if m.outcome == "ok"]
    multiples = [value / one for value, one in pairs if value is not None and one]
    return statistics.median(multiples) if multiples else None


def outcomes(record: Record) -> dict[str, int]:
    """Return the number of rounds with each outcome, most frequent first."""
    return dict(Counter(measurement.outcome for measurement in record.rounds).most_common())


Runs = Sequence[Sequence[float]]
"""The samples of each process run: one for most metrics, one per answered request for response times."""


def runs_of(record: Record, figure: Figure, reference: Record | None = None) -> Runs:
    """Return the samples of `figure`; if it is a ratio, relative to those of `reference` round by round.

    Only percentiles use all samples of a run; for other statistics a run with several samples counts as their mean.
    """
    if figure.reference is not None:
        return [] if reference is None else [[value] for value in ratios(record, reference, figure.metric)]
    if percent_of(figure.stat) is None:
        return [[value] for value in _values(record.rounds, figure.metric)]
    values = [measurement.value(figure.metric) for measurement in record.rounds if measurement.outcome == "ok"]
    samples = [value if isinstance(value, tuple) else (value,) for value in values]
    runs = [[sample for sample in run if sample is not None] for run in samples]
    return [run for run in runs if run]


def value_of(runs: Runs, stat: str = "median") -> float | None:
    """Return the statistic without its interval, which needs no resampling; None without a run."""
    samples = [value for run in runs for value in run]
    percent = percent_of(stat)
    if not samples or percent is None:
        return float(_REDUCE[stat](samples)) if samples else None
    import numpy as np  # noqa: PLC0415

    return float(np.percentile(samples, percent))


def lacking(runs: Runs, stat: str) -> int | None:
    """Return the number of samples that the statistic needs if there are fewer; None if there are enough."""
    percent = percent_of(stat)
    needed = 1 if percent is None else samples_needed(percent)
    return needed if sum(map(len, runs)) < needed else None


def samples_needed(percent: float) -> int:
    """Return the number of samples so that, with 99 % certainty, more than one lies beyond the percentile.

    This is the rule for early stopping of MLPerf's load generator: 11 for the median, 64 for p90, 662 for p99.
    """
    beyond = min(percent, 100 - percent) / 100
    count = 2
    while (1 - beyond) ** count + count * beyond * (1 - beyond) ** (count - 1) > 1 - _CERTAIN:
        count += 1
    return count


def estimate(runs: Runs, stat: str = "median", confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the statistic and its bootstrap interval, which resamples whole runs; None without a run."""
    return _estimate(tuple(map(tuple, runs)), stat, confidence) if runs else None


@lru_cache(maxsize=4096)
def _estimate(runs: tuple[tuple[float, ...], ...], stat: str, confidence: float) -> Estimate:
    """Return the estimate from a cache, because reports need an interval of 10 ms several times."""
    value, interval = _bootstrap([runs], stat, lambda only: only, confidence)
    return Estimate(value, interval, len(runs), confidence)


def contrast(
    before: Runs, after: Runs, stat: str, of: Callable[[Any, Any], Any], confidence: float = CONFIDENCE
) -> Estimate:
    """Return `of` applied to the statistic before and after, and its interval; each side is resampled separately.

    Each side must have a run. `of` is also called with arrays.
    """
    value, interval = _bootstrap([before, after], stat, of, confidence)
    return Estimate(value, interval, min(len(before), len(after)), confidence)


def is_precise(record: Record, precision: float, min_rounds: int) -> bool:
    """Return whether the interval of the main metric's median is narrow enough after at least `min_rounds` rounds.

    A record without a good round counts as precise, because more rounds would not help.
    """
    runs = runs_of(record, Figure(record.case.main_metric))
    main = estimate(runs)
    return len(record.rounds) >= min_rounds and (main is None or main.precision <= precision)


def outliers(record: Record, metric: str) -> list[Measurement]:
    """Return the rounds whose metric is far from that of the others. No statistic excludes them."""
    rounds = [m for m in record.rounds if m.outcome == "ok" and isinstance(m.value(metric), int | float)]
    values = [m.value(metric) for m in rounds]
    if len(values) < _MIN_ROUNDS:
        return []
    median = statistics.median(values)
    deviation = statistics.median(abs(value - median) for value in values)
    return [m for m in rounds if deviation and 0.6745 * abs(m.value(metric) - median) / deviation > _OUTLYING]


def _bootstrap(
    sides: Sequence[Runs], stat: str, of: Callable[..., Any], confidence: float
) -> tuple[float, Interval | None]:
    """Return `of` applied to the statistic of each side, and its percentile interval; None if no side has two runs."""
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

    # scipy refuses to resample a single run, so such a run is there twice.
    numbers = [np.arange(len(side)) if len(side) > 1 else np.zeros(2) for side in sides]
    ends = bootstrap(
        numbers, drawn, n_resamples=_RESAMPLES, batch=_BATCH, vectorized=True, confidence_level=confidence,
        method="percentile", rng=np.random.default_rng(_SEED),
    ).confidence_interval  # fmt: skip
    return value, Interval(float(ends.low), float(ends.high))


def _by_turn(record: Record, metric: str) -> dict[tuple[int, int], float]:
    """Return the metric by round and turn, because a test may measure the same case several times in a round."""
    turns = Counter[int]()
    values: dict[tuple[int, int], float] = {}
    for measurement in record.rounds:
        for value in _values([measurement], metric):
            values[measurement.round, turns[measurement.round]] = value
        turns[measurement.round] += 1
    return values


def _values(rounds: Iterable[Measurement], metric: str) -> list[float]:
    """Return the metric of the rounds that were ok and have it; the mean if it has a value per request."""
    if metric not in METRICS:
        raise BadArgument.of("metric", metric, "unknown", suggestion(str(metric), METRICS))
    values = [measurement.value(metric) for measurement in rounds if measurement.outcome == "ok"]
    means = [_mean(value) if isinstance(value, tuple) else value for value in values]
    return [value for value in means if value is not None]


def _mean(values: tuple[float | None, ...]) -> float | None:
    """Return the mean over the requests that have a value; None if no request has one."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
