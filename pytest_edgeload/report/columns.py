"""The columns that every report is made of: what a case is called, and any figure of it.

A figure is named as in a threshold: `makespan`, `peak`, `response.p90`, `makespan/bulk`, or `min` for the makespan's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraint
from pytest_edgeload.results.record import METRICS, REFERENCE, Better, Case, Record, comparison_groups, metric_of
from pytest_edgeload.results.statistics import (
    Interval,
    Runs,
    Spread,
    estimate,
    lacking,
    multiple,
    outcomes,
    runs_of,
    spread,
    value_of,
)
from pytest_edgeload.results.threshold import Figure, parse_figure, percent_of, short

NONE = "-"
"""What stands where nothing was measured."""

NAME = "name"
"""What rows may be sorted by beside columns."""

_THOUSAND = 1000
_BRIEF = 0.1  # seconds
_PARAMETER = "param:"

Value = float | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A record, and all records by policy that it may be compared with, itself among them."""

    record: Record
    group: Mapping[str, Record]

    def runs(self, figure: Figure) -> Runs:
        """Return the samples of `figure`."""
        other = None if figure.reference is None else self.group.get(figure.reference)
        return runs_of(self.record, figure, other)


@dataclass(frozen=True, slots=True)
class Column:
    """What to show of a row: a short text, and the value behind it to sort by or to calculate with.

    `name` tells it from all others, with its unit where it has one; `title` is what stands above it.
    """

    name: str
    title: str
    show: Callable[[Row], str]
    value: Callable[[Row], Value]
    better: Better = "neither"
    is_text: bool = False
    figure: Figure | None = None


def rows(records: Iterable[Record]) -> list[Row]:
    """Return each record with those of its comparison group."""
    found = []
    for members in comparison_groups(records).values():
        by_policy = {record.case.policy: record for record in members}
        found += [Row(record, by_policy) for record in members]
    return found


def column(name: str) -> Column:
    """Return the column of that name. Raises ValueError."""
    if name in NAMED:
        return NAMED[name]
    if name in KEYS or name.startswith(_PARAMETER):
        return _label(name)
    return _of(parse_figure(name, METRICS, [*NAMED, *KEYS]))


def key(name: str) -> Callable[[Case], str]:
    """Return what rows may be grouped by: a coordinate of their case, or its parameter `param:NAME`, empty without.

    Raises ValueError.
    """
    if name.startswith(_PARAMETER):
        return lambda case: dict(case.parameters).get(name.removeprefix(_PARAMETER), "")
    if name not in KEYS:
        raise ValueError(f"nothing to group by is called {name}; {suggestion(name, [*KEYS, 'param:NAME'])}")
    return KEYS[name]


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the names of a comma list of columns. Raises ValueError."""
    return _checked(text, column)


def parse_group_by(text: str) -> tuple[str, ...]:
    """Return the names of a comma list of what to group by. Raises ValueError."""
    return _checked(text, key)


def parse_sort(text: str) -> str:
    """Return the name of what to sort by. Raises ValueError."""
    if text not in {"", NAME}:
        column(text)
    return text


def full_name(case: Case) -> str:
    """Return a name of the case that it has in every session, and no other case of its session."""
    seed = "" if case.seed is None else f"seed {case.seed}"
    conditions = "" if case.conditions == "wait" else f"conditions {case.conditions}"
    loop = "" if case.loop == "once" else f"{case.loop} loop {case.arrivals}".rstrip()
    always = [case.policy, f"{case.test} {case.workload} at {case.limit or 'no limit'}", f"reader {case.reader}"]
    held = case.constraints.without(["memory_bytes"]).words.values()
    parts = [*always, *held, loop, seed, conditions, case.device or ""]
    return ", ".join(part for part in parts if part)


def _constraint(row: Constraint, case: Case) -> str:
    value = getattr(case.constraints, row.field)
    return "" if value is None else row.text(value)


KEYS: Mapping[str, Callable[[Case], str]] = {
    "policy": lambda case: case.policy,
    "device": lambda case: case.device or "",
    "workload": lambda case: case.workload,
    "limit": lambda case: case.limit or "none",
    "reader": lambda case: case.reader,
    **{row.column: partial(_constraint, row) for row in CONSTRAINTS.values() if row.column},
    "unenforced": lambda case: ", ".join(map(str, case.unenforced)),
    "loop": lambda case: case.loop,
    "arrivals": lambda case: case.arrivals,
    "seed": lambda case: "" if case.seed is None else str(case.seed),
    "conditions": lambda case: case.conditions,
    "test": lambda case: case.test,
    "cap": lambda case: case.cap,
    "swap": lambda case: case.swap,
}
"""The coordinates of a case; what tells two rows apart is looked for in this order."""


def _checked(text: str, make: Callable[[str], object]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        make(name)
    return names


def _label(name: str) -> Column:
    show = key(name)
    return Column(
        name, name.removeprefix(_PARAMETER), lambda row: show(row.record.case), lambda row: show(row.record.case),
        is_text=True,
    )  # fmt: skip


def _of(figure: Figure) -> Column:
    name = figure.metric + str(figure).removeprefix(short(figure.metric))
    unit = "" if figure.unit in {"bytes", "count", "ratio"} else f" {figure.unit}"
    return Column(
        name, f"{figure}{unit}", lambda row: _shown(row, figure), lambda row: _value(row, figure),
        metric_of(figure.metric).better, figure=figure,
    )  # fmt: skip


def _value(row: Row, figure: Figure) -> float | None:
    runs = row.runs(figure)
    return None if lacking(runs, figure.stat) else value_of(runs, figure.stat)


def _shown(row: Row, figure: Figure) -> str:
    """Return a figure as text: of times the range too, of percentiles the interval, or how many samples they take."""
    runs = row.runs(figure)
    value, needed = value_of(runs, figure.stat), lacking(runs, figure.stat)
    if value is None or needed is not None:
        return NONE if value is None else f"needs {needed}"
    if percent_of(figure.stat) is not None:
        found = estimate(runs, figure.stat)
        return number(value, figure.unit) + _between(None if found is None else found.interval, figure.unit)
    if figure.unit == "s" and figure.stat == "median":
        found_spread = spread(row.record, figure.metric)
        return NONE if found_spread is None else _ranging(found_spread)
    return number(value, figure.unit) if figure.reference is None else _two_digits(value)


def _between(interval: Interval | None, unit: str) -> str:
    return "" if interval is None else f" ({number(interval.low, unit)}-{number(interval.high, unit)})"


def _ranging(found: Spread) -> str:
    digits = _digits(found.median)
    span = "" if found.min == found.max else f" ({found.min:.{digits}f}-{found.max:.{digits}f})"
    return f"{found.median:.{digits}f}{span}"


def number(value: float, unit: str) -> str:
    """Return a value in as many digits as a table shows; `unit` is that of its figure."""
    if unit == "bytes":
        return format_size(round(value))
    if unit == "count":
        return f"{value / _THOUSAND:.1f}k" if value >= _THOUSAND else f"{value:.0f}"
    if unit == "ratio":
        return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"
    return f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    """Return how many digits behind the point a time is shown with."""
    return 2 if abs(value) >= _BRIEF or value == 0 else 3


def _main(row: Row, reference: str | None = None) -> Figure:
    return Figure(row.record.case.main_metric, reference=reference)


def _ratio(row: Row) -> float | None:
    return value_of(row.runs(_main(row, REFERENCE)))


def _above(row: Row) -> float | None:
    return multiple(row.record, "makespan_s", "bound_s")


def _interval(row: Row) -> Interval | None:
    found = estimate(row.runs(_main(row)))
    return None if found is None else found.interval


def _show_interval(row: Row) -> str:
    found = _interval(row)
    return NONE if found is None else f"{found.low:.2f}-{found.high:.2f}"


def _width(row: Row) -> float | None:
    found = _interval(row)
    return None if found is None else found.high - found.low


def _traffic(row: Row) -> str:
    figures = Figure("swap_in_bytes"), Figure("swap_out_bytes")
    return "/".join(_shown(row, figure) for figure in figures)


def _total_traffic(row: Row) -> float | None:
    found = [_value(row, Figure(metric)) for metric in ("swap_in_bytes", "swap_out_bytes")]
    known = [value for value in found if value is not None]
    return sum(known) if known else None


def _outcome(row: Row) -> str:
    record = row.record
    found = ", ".join(f"{count} {outcome}" if count > 1 else outcome for outcome, count in outcomes(record).items())
    most = {
        "dropped": max((len(m.dropped) for m in record.rounds), default=0),
        "late": max((m.deadline_misses or 0 for m in record.rounds), default=0),
    }
    requests = len(record.case.requests)
    return "; ".join([found, *(f"{count} of {requests} {what}" for what, count in most.items() if count)])


def _two_digits(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _count(row: Row) -> float:
    return len(row.record.rounds)


NAMED: Mapping[str, Column] = {
    made.name: made
    for made in (
        Column("ratio", f"x {REFERENCE}", lambda row: _two_digits(_ratio(row)), _ratio, "lower"),
        Column("bound", "x bound", lambda row: _two_digits(_above(row)), _above, "lower"),
        Column("interval", "95% interval s", _show_interval, _width, "lower"),
        Column("swap_in_out", "swap in/out", _traffic, _total_traffic, "lower"),
        Column("rounds", "rounds", lambda row: f"{_count(row):.0f}", _count),
        Column("outcome", "outcome", _outcome, _outcome, is_text=True),
    )
}
"""The columns that are neither a coordinate nor a figure by itself."""
