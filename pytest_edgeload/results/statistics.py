"""Statistics over the rounds of a case, with their intervals: pure functions. The replicate is the process run."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.results.bootstrap import Distribution, Interval, Runs, contrast, resampled
from pytest_edgeload.results.measurement import METRICS, Measurement, metric_of
from pytest_edgeload.results.naming import can_be_own, percent_of
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Figure

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
class Estimate:
    """A statistic over `runs` process runs with its 95 % interval; a single run has no interval."""

    value: float
    interval: Interval | None
    runs: int

    @property
    def precision(self) -> float:
        """Half the interval, relative to the value; infinite if there is no interval."""
        if self.interval is None:
            return math.inf
        half = (self.interval.high - self.interval.low) / 2
        return 0.0 if half == 0 else half / abs(self.value) if self.value else math.inf


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a statistic and its 95 % interval; two single runs have no interval.

    If `is_share`, they are relative to the earlier value, otherwise in its unit.
    """

    value: float
    interval: Interval | None
    is_share: bool = True


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


def estimate(runs: Runs, stat: str = "median") -> Estimate | None:
    """Return the statistic and its bootstrap interval, which resamples whole runs; None without a run."""
    return _estimate(tuple(map(tuple, runs)), stat) if runs else None


@lru_cache(maxsize=4096)
def _estimate(runs: Runs, stat: str) -> Estimate:
    """Return the estimate from a cache, because reports need an interval several times."""
    value = value_of(runs, stat)
    assert value is not None  # there is a run
    return Estimate(value, resampled(runs, value, stat).interval if len(runs) > 1 else None, len(runs))


def own_interval(record: Record, figure: Figure) -> Interval | None:
    """Return the 95 % interval of a metric that is itself a statistic, such as a leak; None for any other figure.

    Over several rounds it reaches from the lowest end to the highest.
    """
    if not figure.is_own or figure.reference is not None or figure.stat != "median":
        return None
    found = [m.own[figure.metric].interval for m in record.rounds if m.outcome == "ok" and figure.metric in m.own]
    ends = [interval for interval in found if interval is not None]
    return Interval(min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def change(before: Runs, after: Runs, stat: str = "median") -> Change | None:
    """Return the change of the statistic, each side resampled separately; None if one side has no run."""
    sides = both(before, after, stat)
    return None if sides is None else change_of(*sides)


def both(before: Runs, after: Runs, stat: str) -> tuple[Distribution, Distribution] | None:
    """Return the distributions of the two sides of a comparison; None if one side has no run."""
    then, now = value_of(before, stat), value_of(after, stat)
    if then is None or now is None:
        return None
    return resampled(before, then, stat), resampled(after, now, stat, stream=1)


def change_of(then: Distribution, now: Distribution) -> Change:
    """Return the change as a share of the earlier value, unless that is zero, also in a resample.

    Nothing is a share of zero.
    """
    is_share = then.value != 0 and bool((then.draws != 0).all())
    changed = contrast(then, now, lambda a, b: (b - a) / abs(a) if is_share else b - a)
    return Change(changed.value, changed.interval, is_share)


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
    if metric_of(metric) is None and not can_be_own(metric):
        raise BadArgument.of("metric", metric, "unknown", suggestion(str(metric), METRICS))
    values = [measurement.value(metric) for measurement in rounds if measurement.outcome == "ok"]
    means = [_mean(value) if isinstance(value, tuple) else value for value in values]
    return [value for value in means if value is not None]


def _mean(values: tuple[float | None, ...]) -> float | None:
    """Return the mean over the requests that have a value; None if no request has one."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
