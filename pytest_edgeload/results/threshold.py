"""The grammar of thresholds and ceilings: limits on a figure, or on its change since the baseline.

    EXPR  = METRIC ["." STAT] ["/" REFERENCE] ":" LIMIT
    LIMIT = TERM ["+" TERM]         both must be exceeded
    TERM  = NUMBER "%" | SIZE | DURATION | NUMBER    a size or duration has a unit, except 0

A ceiling, which a test declares, is a single TERM or `NUMBER "x" REFERENCE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any, Self

from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.base.units import format_duration, format_size, parse_duration, parse_size
from pytest_edgeload.results.measurement import METRICS, metric_of
from pytest_edgeload.results.metric import Metric

STATISTICS = ("median", "mean", "min", "max")
"""The statistics of rounds, besides percentiles such as `p90` or `p99.9`."""

_MAIN = "makespan_s"
_EXPR = re.compile(r"(?P<metric>\w+)(?:\.(?P<stat>[\w.]+))?(?:/(?P<reference>[\w.-]+))?")
_PERCENTILE = re.compile(r"p(?P<percent>\d{1,2}(?:\.\d+)?)")
_NUMBER = re.compile(r"\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_MULTIPLE = re.compile(rf"(?P<number>{_NUMBER.pattern})\s*x\s*(?P<reference>[\w.-]+)")
_EXAMPLES = {"s": "0.2s", "bytes": "64M", "count": "100", "ratio": "0.1", "per s": "0.5"}

GATED: Mapping[str, Metric] = {name: metric for name, metric in METRICS.items() if metric.better != "neither"}
"""The metrics that can become better or worse, so that a threshold can limit them."""


@dataclass(frozen=True, slots=True)
class Term:
    """An amount in the unit of its metric, or a share of the value in the baseline."""

    amount: float
    is_share: bool = False

    def allowed(self, then: Any) -> Any:
        """Return the amount by which a figure may be worse than `then`, a number or an array of numbers."""
        return self.amount * abs(then) if self.is_share else self.amount


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric and a statistic over the rounds of a record; with a `reference`, the ratio to that policy."""

    metric: str
    stat: str = "median"
    reference: str | None = None

    def __str__(self) -> str:
        stat = "" if self.stat == "median" else f".{self.stat}"
        return short(self.metric) + stat + (f"/{self.reference}" if self.reference else "")

    @property
    def unit(self) -> str:
        """The unit of the figure; `ratio` if there is a reference."""
        return "ratio" if self.reference else metric_of(self.metric).unit

    @property
    def is_higher_better(self) -> bool:
        """Whether a higher value is better."""
        return metric_of(self.metric).better == "higher"

    @property
    def is_exact(self) -> bool:
        """Whether it counts bytes or events, which identical runs repeat almost exactly, unlike times."""
        return metric_of(self.metric).unit in {"bytes", "count"}

    def show(self, value: float) -> str:
        """Return a value of this figure as a short text with its unit."""
        if self.unit == "s":
            return format_duration(value)
        return format_size(value) if self.unit == "bytes" else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit on the change of a figure: it regresses if it is worse than the baseline by more than each of `terms`."""

    figure: Figure
    terms: tuple[Term, ...]
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the threshold in `text`. Raises ValueError."""
        name, colon, limit = text.strip().partition(":")
        if not colon:
            raise ValueError(f"{text!r} is not a threshold; try makespan:10% or peak:64M")
        figure = parse_figure(name)
        terms = tuple(_term(term.strip(), figure, f"10% or {_EXAMPLES[figure.unit]}") for term in limit.split("+"))
        return cls(figure, terms, text.strip())

    def allowed(self, then: Any) -> Any:
        """Return the amount by which the figure may be worse than `then`, a number or an array of numbers."""
        first, *others = (term.allowed(then) for term in self.terms)
        return reduce(_larger, others, first)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The worst value that a figure may have: a maximum, or a minimum if a higher value is better."""

    figure: Figure
    value: float
    text: str

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Return the ceiling that a test declares as `name="text"`. Raises ValueError."""
        figure, text = parse_figure(name), text.strip()
        multiple = _MULTIPLE.fullmatch(text)
        if multiple:
            figure = Figure(figure.metric, figure.stat, multiple["reference"])
            return cls(figure, float(multiple["number"]), f"{name} {text}")
        examples = f"{_EXAMPLES[figure.unit]} or 0.5x bulk"
        term = _term(text, figure, examples)
        if term.is_share:
            raise ValueError(f"a ceiling cannot be a percentage; try {examples}")
        return cls(figure, term.amount, f"{name} {text}")


def _larger(one: Any, other: Any) -> Any:
    import numpy as np  # noqa: PLC0415  # only limits of several terms need it

    return np.maximum(one, other)


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Return the thresholds of a comma list. Raises ValueError."""
    return tuple(Threshold.parse(part) for part in text.split(",") if part.strip())


def parse_figure(text: str, metrics: Mapping[str, Metric] = GATED, other_names: Iterable[str] = ()) -> Figure:
    """Return the figure that `METRIC[.STAT][/REFERENCE]` names; a statistic by itself is that of the makespan.

    Its metric must be one of `metrics`. Raises ValueError, which also suggests `other_names`.
    """
    match = _EXPR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a figure; try makespan, response.p90 or makespan/bulk")
    metric, stat, reference = match["metric"], match["stat"], match["reference"]
    if stat is None and _is_statistic(metric):
        metric, stat = _MAIN, metric
    if stat is not None and not _is_statistic(stat):
        raise ValueError(
            f"{stat!r} is not a statistic; choose from {', '.join(STATISTICS)} or a percentile such as p90"
        )
    return Figure(_metric(metric, metrics, other_names), stat or "median", reference)


def percent_of(stat: str) -> float | None:
    """Return the percentage of a percentile, 90 for `p90`; None for other statistics."""
    match = _PERCENTILE.fullmatch(stat)
    return float(match["percent"]) if match and float(match["percent"]) > 0 else None


@cache
def short(metric: str) -> str:
    """Return the name of a metric without its unit if that is still unique: `peak` for `peak_bytes`."""
    name = _bare(metric)
    return name if _of(name) == [metric] else metric


def _is_statistic(text: str) -> bool:
    return text in STATISTICS or percent_of(text) is not None


def _bare(metric: str) -> str:
    return metric.removesuffix("_per_s").removesuffix("_bytes").removesuffix("_s")


def _of(bare: str) -> list[str]:
    return [metric for metric in METRICS if _bare(metric) == bare]


def _metric(name: str, metrics: Mapping[str, Metric], other_names: Iterable[str]) -> str:
    matches = [name] if name in METRICS else _of(name)
    if len(matches) > 1:
        raise ValueError(f"{name} is ambiguous; choose from {' and '.join(matches)}")
    if not matches:
        raise ValueError(f"{name} is not a metric; {suggestion(name, [*map(short, metrics), *other_names])}")
    if matches[0] not in metrics:
        raise ValueError(f"{name} is neither better nor worse when it changes; {suggestion('', map(short, metrics))}")
    return matches[0]


def _term(text: str, figure: Figure, examples: str) -> Term:
    """Return the term, in the unit of `figure`. Raises ValueError, which gives the examples."""
    try:
        if text.endswith("%"):
            return Term(_number(text.removesuffix("%").strip()) / 100, is_share=True)
        return Term(_amount(text, figure.unit))
    except ValueError:
        kind = {"s": "a time", "bytes": "a number of bytes", "count": "a count"}.get(figure.unit, "a ratio")
        if figure.unit == "bytes" and _NUMBER.fullmatch(text):
            raise ValueError(f"{figure} is {kind}, but {text!r} has no unit; did you mean {text}M?") from None
        raise ValueError(f"{figure} is {kind}, but {text!r} is not; try {examples}") from None


def _amount(text: str, unit: str) -> float:
    """Return the value of `text` in `unit`; 0 needs no unit. Raises ValueError."""
    if text == "0" or unit not in {"s", "bytes"}:
        return _number(text)
    if _NUMBER.fullmatch(text):
        raise ValueError(text)  # the unit is missing
    return parse_size(text) if unit == "bytes" else parse_duration(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)
