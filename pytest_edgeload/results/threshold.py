"""The grammar of thresholds and ceilings: limits on a figure, or on its change since the baseline.

    EXPR  = METRIC ["[" STREAM "]"] ["." STAT] ["/" REFERENCE] ":" LIMIT
    LIMIT = TERM ["+" TERM]         both must be exceeded
    TERM  = NUMBER "%" | SIZE | DURATION | NUMBER    a size or duration has a unit, except 0

A ceiling, which a test declares, is a single TERM or `NUMBER "x" REFERENCE`. A METRIC that is neither built in nor
similar to a built-in one is a program's own. Its unit and direction are known when records have it, and follow from its
name until then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Self

from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.base.units import format_duration, format_number, format_size, parse_duration, parse_size
from pytest_edgeload.results.measurement import METRICS, metric_of
from pytest_edgeload.results.metric import Metric, implied
from pytest_edgeload.results.naming import STATISTICS, can_be_own, is_statistic, may_be_statistic, named, short, similar
from pytest_edgeload.results.stream_stats import STREAM_METRICS, split_name

_MAIN = "makespan_s"
_EXPR = re.compile(r"(?P<name>\w+(?:\[[^\[\],:]+\])?(?:\.\w+)*)(?:/(?P<reference>[\w.-]+))?")
_NUMBER = re.compile(r"\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_MULTIPLE = re.compile(rf"(?P<number>{_NUMBER.pattern})\s*x\s*(?P<reference>[\w.-]+)")
_KINDS = {
    "s": ("a time", "0.2s"),
    "bytes": ("a number of bytes", "64M"),
    "count": ("a count", "100"),
    "ratio": ("a ratio", "0.1"),
    "1/s": ("a rate", "0.5"),
}
_OTHER_KIND = ("a number", "0.5")

GATED: Mapping[str, Metric] = {name: metric for name, metric in METRICS.items() if metric.better != "neither"}
"""The metrics that can become better or worse, so that a threshold can limit them."""


@dataclass(frozen=True, slots=True)
class Term:
    """An amount in the unit of its metric, or a share of the value in the baseline.

    `unit` is `s` or `bytes` if the amount was written as a duration or a size.
    """

    amount: float
    is_share: bool = False
    unit: str = field(default="", compare=False)

    def allowed(self, then: Any) -> Any:
        """Return the amount by which a figure may be worse than `then`, a number or an array of numbers."""
        return self.amount * abs(then) if self.is_share else self.amount


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric and a statistic over the rounds of a record; with a `reference`, the ratio to that policy.

    `own` is the unit and the direction that records give to a program's own metric, None until they are known.
    """

    metric: str
    stat: str = "median"
    reference: str | None = None
    own: Metric | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        stat = "" if self.stat == "median" else f".{self.stat}"
        return short(self.metric) + stat + (f"/{self.reference}" if self.reference else "")

    def known(self, own: Mapping[str, Metric]) -> Self:
        """Return the figure with the unit and the direction that `own` gives its metric, if that is a program's own."""
        return replace(self, own=own.get(self.metric, self.own)) if self.is_own else self

    @property
    def is_own(self) -> bool:
        """Whether its metric is a program's own, and not a built-in one."""
        return metric_of(self.metric) is None

    @property
    def stream(self) -> str | None:
        """The stream of its metric; None if it is a metric of the run."""
        return split_name(self.metric)[1]

    @property
    def is_optional(self) -> bool:
        """Whether only some runs have its metric: those of the program that reports it, or with its stream."""
        return self.is_own or self.stream is not None

    @property
    def kind(self) -> Metric:
        """The unit and the direction of its metric."""
        return metric_of(self.metric) or self.own or implied(self.metric)

    @property
    def unit(self) -> str:
        """The unit of the figure; `ratio` if there is a reference."""
        return "ratio" if self.reference else self.kind.unit

    @property
    def unit_unless_implied(self) -> str:
        """The unit if a reader has to be told: not that of a built-in metric, nor one that is implied by the name."""
        return "" if not self.is_own or self.reference or self.unit == implied(self.metric).unit else self.unit

    @property
    def is_higher_better(self) -> bool:
        """Whether a higher value is better."""
        return self.kind.better == "higher"

    @property
    def is_exact(self) -> bool:
        """Whether it counts bytes or events, which identical runs repeat almost exactly, unlike times."""
        return is_size(self.kind.unit) or self.kind.unit == "count"

    def show(self, value: float) -> str:
        """Return a value of this figure as a short text with its unit."""
        if self.unit == "s":
            return format_duration(value)
        if is_size(self.unit):
            return format_size(value) + self.unit.removeprefix("bytes")
        return f"{format_number(value)} {self.unit_unless_implied}".rstrip()


def is_size(unit: str) -> bool:
    """Return whether amounts in `unit` are numbers of bytes, such as `bytes/repetition`."""
    return unit == "bytes" or unit.startswith("bytes/")


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
        terms = tuple(_term(term.strip(), figure, f"10% or {_kind(figure.unit)[1]}") for term in limit.split("+"))
        return cls(figure, terms, text.strip())

    def allowed(self, then: Any) -> Any:
        """Return the amount by which the figure may be worse than `then`, a number or an array of numbers."""
        first, *others = (term.allowed(then) for term in self.terms)
        return reduce(_larger, others, first)

    def mismatch(self, unit: str) -> str | None:
        """Return why its limit does not fit a figure in `unit`; None if it fits."""
        return next(filter(None, (_mismatch(term, unit) for term in self.terms)), None)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The worst value that a figure may have: a maximum, or a minimum if a higher value is better."""

    figure: Figure
    value: float
    text: str
    unit: str = field(default="", compare=False)

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Return the ceiling that a test declares as `name="text"`. Raises ValueError."""
        figure, text = parse_figure(name), text.strip()
        multiple = _MULTIPLE.fullmatch(text)
        if multiple:
            figure = Figure(figure.metric, figure.stat, multiple["reference"])
            return cls(figure, float(multiple["number"]), f"{name} {text}")
        examples = f"{_kind(figure.unit)[1]} or 0.5x bulk"
        term = _term(text, figure, examples)
        if term.is_share:
            raise ValueError(f"a ceiling cannot be a percentage; try {examples}")
        return cls(figure, term.amount, f"{name} {text}", term.unit)

    def mismatch(self, unit: str) -> str | None:
        """Return why its value does not fit a figure in `unit`; None if it fits."""
        return _mismatch(Term(self.value, unit=self.unit), unit)


def _larger(one: Any, other: Any) -> Any:
    import numpy as np  # noqa: PLC0415  # only limits of several terms need it

    return np.maximum(one, other)


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Return the thresholds of a comma list. Raises ValueError."""
    return tuple(Threshold.parse(part) for part in text.split(",") if part.strip())


def parse_figure(text: str, metrics: Mapping[str, Metric] = GATED) -> Figure:
    """Return the figure that `METRIC[.STAT][/REFERENCE]` names; a statistic by itself is that of the makespan.

    A built-in metric must be one of `metrics`. Raises ValueError.
    """
    match = _EXPR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a figure; try makespan, response.p90 or makespan/bulk")
    metric, stat = _split(match["name"])
    return Figure(_metric(metric, metrics), stat, match["reference"])


def _split(name: str) -> tuple[str, str]:
    """Return the metric and the statistic of a figure's name; parts of a program's own metric have dots as well."""
    if is_statistic(name):
        return _MAIN, name
    metric, bracket, stat = name.partition("]")
    if bracket:
        return metric + bracket, _statistic(stat.removeprefix(".")) if stat else "median"
    parts = name.split(".")
    for i in range(1, len(parts)):
        if is_statistic(stat := ".".join(parts[i:])):
            return ".".join(parts[:i]), stat
    metric, _, stat = name.partition(".")
    if stat and (named(metric) or may_be_statistic(stat)):
        _statistic(stat)
    return name, "median"


def _statistic(stat: str) -> str:
    if not is_statistic(stat):
        raise ValueError(
            f"{stat!r} is not a statistic; choose from {', '.join(STATISTICS)} or a percentile such as p90"
        )
    return stat


def _metric(name: str, metrics: Mapping[str, Metric]) -> str:
    matches = named(name)
    base, stream = split_name(name)
    if stream is not None and not matches:
        hint = suggestion(base, map(short, STREAM_METRICS))
        raise ValueError(f"{base} is not a metric of streams; {hint}")
    if len(matches) > 1:
        raise ValueError(f"{name} is ambiguous; choose from {' and '.join(matches)}")
    if not matches and can_be_own(name):
        return name
    if not matches:
        other = similar(name)
        hint = f"did you mean {other}?" if other else suggestion(name, map(short, metrics))
        raise ValueError(f"{name} is not a metric; {hint}")
    if metrics is GATED and _has_no_direction(matches[0]):
        raise ValueError(f"{name} is neither better nor worse when it changes; {suggestion('', map(short, metrics))}")
    return matches[0]


def _has_no_direction(metric: str) -> bool:
    known = metric_of(metric)
    return known is not None and known.better == "neither"


def _kind(unit: str) -> tuple[str, str]:
    """Return words for an amount in `unit`, and an example."""
    return _KINDS["bytes"] if is_size(unit) else _KINDS.get(unit, _OTHER_KIND)


def _term(text: str, figure: Figure, examples: str) -> Term:
    """Return the term, in the unit of `figure`. Raises ValueError, which gives the examples."""
    try:
        if text.endswith("%"):
            return Term(_number(text.removesuffix("%").strip()) / 100, is_share=True)
        return _amount(text, figure.unit)
    except ValueError:
        kind, _ = _kind(figure.unit)
        if is_size(figure.unit) and _NUMBER.fullmatch(text):
            raise ValueError(f"{figure} is {kind}, but {text!r} has no unit; did you mean {text}M?") from None
        raise ValueError(f"{figure} is {kind}, but {text!r} is not; try {examples}") from None


def _amount(text: str, unit: str) -> Term:
    """Return the amount that `text` is in `unit`; 0 needs no unit. Raises ValueError.

    An empty unit means that it is not known yet. Then a duration and a size are allowed as well.
    """
    if _NUMBER.fullmatch(text) and (float(text) == 0 or not (unit == "s" or is_size(unit))):
        return Term(_number(text))
    if _NUMBER.fullmatch(text) or (unit not in {"s", ""} and not is_size(unit)):
        raise ValueError(text)  # the unit is missing, or there is none
    if unit == "s" or (not unit and text.endswith(("s", "m", "h"))):
        return Term(parse_duration(text), unit="s")
    return Term(parse_size(text), unit="bytes")


def _mismatch(term: Term, unit: str) -> str | None:
    """Return why an amount that was written before the unit was known does not fit it; None if it fits."""
    if term.is_share or not term.unit or term.unit == unit or (term.unit == "bytes" and is_size(unit)):
        return None
    return f"the limit is {_kind(term.unit)[0]}, but the unit of the metric is {unit or 'none'}"


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)
