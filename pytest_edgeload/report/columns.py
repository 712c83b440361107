"""The columns of reports: the coordinates of a case and its figures.

A figure has the same name as in a threshold: `makespan`, `peak`, `response.p90`, `makespan/bulk`, or `min` for the
minimum of the makespan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from types import MappingProxyType

from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraint
from pytest_edgeload.report.digits import alike, number, time_places
from pytest_edgeload.results.bootstrap import Interval, Runs
from pytest_edgeload.results.case import HOST, REFERENCE, Case
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import Better, Metric
from pytest_edgeload.results.naming import percent_of, short
from pytest_edgeload.results.record import Record, comparison_groups
from pytest_edgeload.results.statistics import (
    Spread,
    estimate,
    lacking,
    multiple,
    outcomes,
    own_interval,
    runs_of,
    spread,
    value_of,
)
from pytest_edgeload.results.threshold import Figure, parse_figure

NONE = "-"
"""The text of a value that was not measured."""

NAME = "name"
"""The order by the full name of the case; every column is an order as well."""

_PARAMETER = "param:"
_PLAIN = {"bytes", "count", "ratio", "J", "W", "°C"}  # units that the values themselves or the names show

Value = float | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A record and all records of its comparison group by policy, including itself."""

    record: Record
    group: Mapping[str, Record]

    def runs(self, figure: Figure) -> Runs:
        """Return the samples of `figure`."""
        other = None if figure.reference is None else self.group.get(figure.reference)
        return runs_of(self.record, figure, other)


@dataclass(frozen=True, slots=True)
class Column:
    """A property of rows: a short text to show, and the value to sort by or to calculate with.

    `name` is unique and has the unit, if there is one; `title` is the header of the column.
    """

    name: str
    title: str
    show: Callable[[Row], str]
    value: Callable[[Row], Value]
    better: Better = "neither"
    is_text: bool = False
    figure: Figure | None = None


def rows(records: Iterable[Record]) -> list[Row]:
    """Return a row for each record, with its comparison group."""
    grouped = []
    for members in comparison_groups(records).values():
        by_policy = {record.case.policy: record for record in members}
        grouped += [Row(record, by_policy) for record in members]
    return grouped


def column(name: str, own: Mapping[str, Metric] = MappingProxyType({})) -> Column:
    """Return the column of this name. `own` are the metrics that programs reported. Raises ValueError."""
    if name in NAMED:
        return NAMED[name]
    if name in KEYS or name.startswith(_PARAMETER):
        return _label(name)
    return figure_column(parse_figure(name, METRICS).known(own))


def key(name: str) -> Callable[[Case], str]:
    """Return a function of a case to group by: a coordinate or a parameter, `param:NAME`, empty if it is not set.

    Raises ValueError.
    """
    if name.startswith(_PARAMETER):
        return lambda case: dict(case.parameters).get(name.removeprefix(_PARAMETER), "")
    if name not in KEYS:
        raise ValueError(f"{name} is not a coordinate of a case; {suggestion(name, [*KEYS, 'param:NAME'])}")
    return KEYS[name]


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the names of a comma list of columns. Raises ValueError."""
    return _checked(text, column)


def parse_group_by(text: str) -> tuple[str, ...]:
    """Return the names of a comma list of coordinates. Raises ValueError."""
    return _checked(text, key)


def parse_sort(text: str) -> str:
    """Return the name of an order: a column, `name` or an empty text. Raises ValueError."""
    if text not in {"", NAME}:
        column(text)
    return text


def full_name(case: Case) -> str:
    """Return a name of the case that is unique in its session and the same in every session."""
    seed = "" if case.seed is None else f"seed {case.seed}"
    conditions = "" if case.conditions == "wait" else f"conditions {case.conditions}"
    loop = "" if case.loop == "once" else f"{case.loop} loop {case.arrivals}".rstrip()
    place = f"{case.test} {case.workload} at {case.limit or 'no limit'}".lstrip()  # the command line has no test
    always = [case.policy, place, f"reader {case.reader}", case.form]
    constraints = case.constraints.without(["memory_bytes"]).words.values()
    view = "" if case.view == HOST else f"view {case.view}"
    device = case.device or ""
    parallel = "in parallel" if case.parallel else ""
    parts = [*always, *constraints, view, parallel, loop, seed, conditions, device, _host(case), case.simulated]
    return ", ".join(part for part in parts if part)


def _host(case: Case) -> str:
    return "" if case.host is None else f"host {case.host}"


def _constraint(row: Constraint, case: Case) -> str:
    value = getattr(case.constraints, row.field)
    return "" if value is None else row.text(value)


KEYS: Mapping[str, Callable[[Case], str]] = {
    "policy": lambda case: case.policy,
    "host": lambda case: case.host or "",
    "device": lambda case: case.device or "",
    "workload": lambda case: case.workload,
    "limit": lambda case: case.limit or "none",
    "view": lambda case: case.view,
    "parallel": lambda case: "yes" if case.parallel else "no",
    "reader": lambda case: case.reader,
    "store": lambda case: case.store,
    **{row.column: partial(_constraint, row) for row in CONSTRAINTS.values() if row.column},
    "unenforced": lambda case: ", ".join(map(str, case.unenforced)),
    "loop": lambda case: case.loop,
    "arrivals": lambda case: case.arrivals,
    "seed": lambda case: "" if case.seed is None else str(case.seed),
    "conditions": lambda case: case.conditions,
    "clock": lambda case: case.clock,
    "test": lambda case: case.test,
    "cap": lambda case: case.cap,
    "swap": lambda case: case.swap,
}
"""The coordinates of a case by name; the first ones that differ between rows label them."""


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


def figure_column(figure: Figure) -> Column:
    """Return the column of a figure."""
    name = figure.metric + str(figure).removeprefix(short(figure.metric))
    unit = figure.unit_unless_implied if figure.is_own else "" if figure.unit in _PLAIN else figure.unit
    return Column(
        name, f"{figure} {unit}".rstrip(), lambda row: _shown(row, figure), lambda row: _value(row, figure),
        figure.kind.better, figure=figure,
    )  # fmt: skip


def _value(row: Row, figure: Figure) -> float | None:
    runs = row.runs(figure)
    return None if lacking(runs, figure.stat) else value_of(runs, figure.stat)


def _shown(row: Row, figure: Figure) -> str:
    """Return a figure as text: times with their range, percentiles with their interval or the samples they need.

    A number that is itself a statistic, such as a leak, has the interval that was reported with it.
    """
    runs = row.runs(figure)
    value, needed = value_of(runs, figure.stat), lacking(runs, figure.stat)
    if value is None or needed is not None:
        return NONE if value is None else f"needs {needed}"
    if percent_of(figure.stat) is not None:
        percentile = estimate(runs, figure.stat)
        return number(value, figure.unit) + _ends(None if percentile is None else percentile.interval, figure.unit)
    if figure.reference is not None:
        return _two_digits(value)
    own = own_interval(row.record, figure)
    if own is not None:
        return number(value, figure.unit) + _ends(own, figure.unit)
    varies = figure.unit in {"s", "J"} or (figure.is_own and not figure.is_exact)
    values = spread(row.record, figure.metric) if varies and figure.stat == "median" else None
    return number(value, figure.unit) if values is None else _with_range(values, figure.unit)


def _ends(interval: Interval | None, unit: str) -> str:
    if interval is None:
        return ""
    to = "-" if interval.low >= 0 else " to "
    return f" ({number(interval.low, unit)}{to}{number(interval.high, unit)})"


def _with_range(values: Spread, unit: str) -> str:
    median, low, high = (alike(value, values.median, unit) for value in astuple(values))
    return median if values.min == values.max else f"{median} ({low}-{high})"


def _main_figure(row: Row, reference: str | None = None) -> Figure:
    return Figure(row.record.case.main_metric, reference=reference)


def _ratio(row: Row) -> float | None:
    return value_of(row.runs(_main_figure(row, REFERENCE)))


def _times_bound(row: Row) -> float | None:
    return multiple(row.record, "makespan_s", "bound_s")


def _times_memory_bound(row: Row) -> float | None:
    return multiple(row.record, "makespan_s", "bound_memory_s")


def _times_step_bound(row: Row) -> float | None:
    return multiple(row.record, "step_mean_s", "bound_step_s")


def _interval(row: Row) -> Interval | None:
    main = estimate(row.runs(_main_figure(row)))
    return None if main is None else main.interval


def _show_interval(row: Row) -> str:
    interval = _interval(row)
    if interval is None:
        return NONE
    digits = time_places((interval.low + interval.high) / 2)
    return f"{interval.low:.{digits}f}-{interval.high:.{digits}f}"


def _width(row: Row) -> float | None:
    interval = _interval(row)
    return None if interval is None else interval.high - interval.low


def _traffic(row: Row) -> str:
    figures = Figure("swap_in_bytes"), Figure("swap_out_bytes")
    return "/".join(_shown(row, figure) for figure in figures)


def _total_traffic(row: Row) -> float | None:
    values = [_value(row, Figure(metric)) for metric in ("swap_in_bytes", "swap_out_bytes")]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _outcome(row: Row) -> str:
    """Return the outcomes of all rounds, and the most dropped and late requests in a round.

    The table of streams has these.
    """
    record = row.record
    words = ", ".join(f"{count} {outcome}" if count > 1 else outcome for outcome, count in outcomes(record).items())
    if any(m.streams for m in record.rounds):
        return words
    maxima = {
        "dropped": max((len(m.dropped) for m in record.rounds), default=0),
        "late": max((m.deadline_misses or 0 for m in record.rounds), default=0),
    }
    requests = len(record.case.requests)
    return "; ".join([words, *(f"{count} of {requests} {state}" for state, count in maxima.items() if count)])


def _two_digits(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _count(row: Row) -> float:
    return len(row.record.rounds)


NAMED: Mapping[str, Column] = {
    col.name: col
    for col in (
        Column("ratio", f"x {REFERENCE}", lambda row: _two_digits(_ratio(row)), _ratio, "lower"),
        Column("bound", "x bound", lambda row: _two_digits(_times_bound(row)), _times_bound, "lower"),
        Column(
            "step_bound",
            "x step bound",
            lambda row: _two_digits(_times_step_bound(row)),
            _times_step_bound,
            "lower",
        ),
        Column(
            "memory_bound",
            "x memory bound",
            lambda row: _two_digits(_times_memory_bound(row)),
            _times_memory_bound,
            "lower",
        ),
        Column("interval", "95% interval s", _show_interval, _width, "lower"),
        Column("swap_in_out", "swap in/out", _traffic, _total_traffic, "lower"),
        Column("rounds", "rounds", lambda row: f"{_count(row):.0f}", _count),
        Column("outcome", "outcome", _outcome, _outcome, is_text=True),
    )
}
"""The columns that are neither a coordinate nor a single figure."""
