"""The tables of a view: which records share a table, its title, columns and order of rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.report import devices
from pytest_edgeload.report.arrival_words import shortened
from pytest_edgeload.report.columns import (
    KEYS,
    NAME,
    NAMED,
    NONE,
    Column,
    Row,
    Value,
    column,
    figure_column,
    full_name,
    key,
    rows,
)
from pytest_edgeload.report.digits import seconds
from pytest_edgeload.report.grid import Cell, Grid, Style
from pytest_edgeload.report.view import View
from pytest_edgeload.report.winners import winner
from pytest_edgeload.results.case import HOST, REFERENCE, Case
from pytest_edgeload.results.finding import identity
from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.own import optional_metrics, own_figures
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import Spread, spread
from pytest_edgeload.results.threshold import Figure

_ONCE = {
    "makespan": "makespan s",
    "ratio": "",
    "bound": "",
    "memory_bound": "",
    "peak": "",
    "swap_in_out": "",
    "major_faults": "faults",
}
_STEPS = {
    "makespan": "makespan s",
    "ratio": "",
    "first_step": "first s",
    "step_mean": "step s",
    "step_bound": "",
    "read_per_step": "read/step",
    "peak": "",
    "swap_in_out": "",
    "major_faults": "faults",
}
_PROGRAMS = {
    "makespan": "makespan s",
    "ratio": "",
    "peak_anon": "",
    "peak_file": "",
    "swap_in_out": "",
    "major_faults": "faults",
}
_ARRIVING = {
    "response_mean": "response s",
    "ratio": "",
    "response.p50": "p50",
    "response.p90": "p90",
    "response.p99": "p99",
    "worst_slowdown": "slowdown",
    "peak": "",
    "swap_in_out": "",
}
_STREAMS = {
    "in_time": "in time",
    "worst_in_time": "worst",
    "xr_score": "score",
    "peak": "",
    "swap_in_out": "",
    "ratio": "",
    "response.p90": "p90 s",
    "fairness": "",
}
"""The default columns, with short titles: of requests that arrive at once, also in steps; of programs; of requests over
time; of streams."""


@dataclass(frozen=True, slots=True)
class Table:
    """Sorted rows with the columns that label them, the columns to show, and a title with their common properties."""

    title: tuple[str, ...]
    labels: tuple[Column, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def grid(self, regressed: Collection[Case] = ()) -> Grid:
        """Return the cells; rows of the cases in `regressed`, given by their identity, are marked."""
        columns = [*self.labels, *self.columns]
        is_decided = _has_winner(self.rows, None)
        styles = [_styles(col, self.rows, is_decided=is_decided) for col in columns]
        cells = [[printable(col.show(row)) for col in columns] for row in self.rows]
        marked = [[Cell(text, styles[j][i]) for j, text in enumerate(line)] for i, line in enumerate(cells)]
        for row, line in zip(self.rows, marked, strict=True):
            if identity(row.record.case) in regressed:
                line[0] = Cell(line[0].text, "bad")
        labelled = len(self.labels)
        essential = {*range(labelled + 1), *(i for i, col in enumerate(columns) if col is NAMED["outcome"])}
        return Grid(
            tuple(printable(col.title) for col in columns),
            tuple(map(tuple, marked)),
            frozenset(i for i, col in enumerate(columns) if col.is_text),
            frozenset(essential),
        )


def tables(records: Sequence[Record], view: View) -> list[Table]:
    """Return the tables of a view: one for each comparison group, or one for each group of the view.

    Rows of several devices, hosts or merged machines share a table, and so do programs of no test under several limits.
    """
    has_places = len({(record.case.device, record.case.host) for record in records}) > 1
    own = optional_metrics(records)
    grouped: dict[object, list[Row]] = {}
    for row in rows(records):
        case = row.record.case
        place = _values(case, view) if view.group_by else _compared(case, has_places=has_places)
        grouped.setdefault(place, []).append(row)
    return [_table(members, view, own) for members in grouped.values()]


def _values(case: Case, view: View) -> tuple[str, ...]:
    return tuple(key(name)(case) for name in view.group_by)


def _compared(case: Case, *, has_places: bool) -> Case:
    if case.is_program and not case.test:
        # A command is measured under several limits to compare them.
        case = msgspec.structs.replace(case, limit=None, constraints=case.constraints.without(["memory_bytes"]))
    if not has_places:
        return case.group
    common = msgspec.structs.replace(identity(case.group), device=None, host=None)
    if case.host is not None:  # by default, hosts have as many threads as processors
        common = msgspec.structs.replace(common, constraints=common.constraints.without(["threads"]))
    if not case.by_device:
        return common
    # Limits from an option have a table each, because that option is a list; all other constraints are the device's.
    limit = None if "memory_bytes" in case.by_device else case.limit
    return msgspec.structs.replace(common, constraints=Constraints(), limit=limit)


def _table(members: Sequence[Row], view: View, own: Mapping[str, Metric]) -> Table:
    named = tuple(column(name, own) for name in view.columns)
    chosen = tuple(by_rounds(col, members) for col in named or _usual(members))
    ordered = tuple(sorted(members, key=lambda row: _place(row, view.sort, own)))
    if not (view.sort or view.group_by or any(row.record.case.test for row in members)):
        ordered = tuple(sorted(ordered, key=lambda row: row.record.case.limit_bytes or math.inf))
    labels = _labels(ordered, view, {col.name for col in chosen})
    return Table(tuple(map(printable, _title(ordered, view))), labels, chosen, ordered)


def by_rounds(col: Column, members: Sequence[Row]) -> Column:
    """Return the column; that of ratios says in its title if they are of single rounds, which are no evidence.

    A simulation needs no more than one. A ratio is better in the direction of the metric that it compares.
    """
    if col.name == "ratio":
        col = replace(col, better=Figure(members[0].record.case.main_metric).kind.better)
    if col.name != "ratio" or any(len(row.record.rounds) > 1 or row.record.case.is_simulated for row in members):
        return col
    is_compared = sum(col.value(row) is not None for row in members) > 1
    return replace(col, title=f"{col.title} (1 round)") if is_compared else col


def _usual(members: Sequence[Row]) -> tuple[Column, ...]:
    cases = [row.record.case for row in members]
    are_programs = all(case.is_program for case in cases)
    usual = _PROGRAMS if are_programs else _of_requests(cases)
    bounds = {"bound": "bound_s", "memory_bound": "bound_memory_s", "step_bound": "bound_step_s"}
    absent = [NAMED[name] for name in bounds if not any(spread(row.record, bounds[name]) for row in members)]
    if are_programs and REFERENCE not in members[0].group:
        absent.append(NAMED["ratio"])
    titled = [replace(column(name), title=title) if title else column(name) for name, title in usual.items()]
    main, *others = (col for col in titled if col not in absent)
    energy = [column("energy_j")] if any(spread(row.record, "energy_j") for row in members) else []
    return (main, *own_columns(members), *others, *energy, NAMED["outcome"])


def _of_requests(cases: Sequence[Case]) -> Mapping[str, str]:
    if any(case.main_metric == "in_time" for case in cases):
        return _STREAMS
    if any(case.loop != "once" for case in cases):
        return _ARRIVING
    return _STEPS if any(ask.steps > 1 for case in cases for ask in case.requests) else _ONCE


def own_columns(members: Sequence[Row]) -> list[Column]:
    """Return the columns of the metrics that the rows' programs reported, without those that are empty in all rows."""
    columns = map(figure_column, own_figures(row.record for row in members))
    return [col for col in columns if any(col.value(row) is not None for row in members)]


def _place(row: Row, sort: str, own: Mapping[str, Metric]) -> tuple[float, str]:
    """Return the sort key of a row: the best row is first, rows without a value are last."""
    if sort == NAME:
        return 0.0, full_name(row.record.case)
    by = column(sort or row.record.case.main_metric, own)
    value: Value = row.record.case.limit_bytes if sort == "limit" else by.value(row)
    if isinstance(value, str):
        return (float(value), "") if value.isdecimal() else (math.inf, value)
    return (math.inf if value is None else -value if by.better == "higher" else value), ""


def labels_of(members: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns that distinguish the rows in a table without a view."""
    return _labels(members, View(), ())


def _labels(members: Sequence[Row], view: View, shown: Collection[str]) -> tuple[Column, ...]:
    """Return the columns that distinguish the rows: the policy and as many other coordinates as are needed."""
    if view.name == "long":
        return (_CASE,)
    places = [name for name in ("host", "device") if len({KEYS[name](row.record.case) for row in members}) > 1]
    names = ["policy", *places]
    for name in KEYS:
        labels = {tuple(KEYS[label](row.record.case) for label in [*names, name]) for row in members}
        if len(labels) > len({label[:-1] for label in labels}):
            names.append(name)
    if "reader" not in names and len({row.record.case.reader for row in members}) > 1:
        names.append("reader")  # `auto` chose it
    left = [name for name in names if name not in shown and name not in view.group_by]
    are_programs = all(row.record.case.is_program for row in members)
    return tuple(as_program(column(name)) if are_programs else column(name) for name in left or ["policy"])


def as_program(col: Column) -> Column:
    """Return the column of policies with the title `program`, and any other column as it is."""
    return replace(col, title="program") if col.name == "policy" else col


_CASE = Column(
    "case", "case", lambda row: full_name(row.record.case), lambda row: full_name(row.record.case), is_text=True
)


def _styles(col: Column, members: Sequence[Row], *, is_decided: bool) -> list[Style]:
    """Return the style of each cell of a column: best, worst, or bad for an outcome that is not ok.

    A time or a ratio is best only if it `is_decided` which row is the quickest, and a metric of the program's own only
    if it is decided which row is best by it.
    """
    if col is NAMED["outcome"]:
        return ["" if all(m.outcome == "ok" for m in row.record.rounds) else "bad" for row in members]
    values = [col.value(row) for row in members]
    if col.figure is not None and col.figure.is_own:
        is_decided = _has_winner(members, col.figure)
    known = sorted({value for value in values if isinstance(value, float | int)}, reverse=col.better == "higher")
    if col.better == "neither" or len(known) < 2 or not (is_decided or _is_exact(col)):  # noqa: PLR2004
        return [""] * len(members)
    return ["best" if value == known[0] else "worst" if value == known[-1] else "" for value in values]


def _is_exact(col: Column) -> bool:
    return col is NAMED["swap_in_out"] or (col.figure is not None and col.figure.is_exact)


def _has_winner(members: Sequence[Row], figure: Figure | None) -> bool:
    won = winner([row.record for row in members], figure)
    return won is not None and not won.close


def _title(members: Sequence[Row], view: View) -> list[str]:
    cases = [row.record.case for row in members]
    case = cases[0]
    unenforced = f" {devices.NOT_ENFORCED}" if any(one.limit is not None and one.cap == "none" for one in cases) else ""
    lines = {one.device: devices.line(one) for one in cases if one.by_device}
    if view.group_by:
        common = zip(view.group_by, _values(case, view), strict=True)
        words = ", ".join(f"{name} {value or NONE}" for name, value in common)
        return [words + unenforced.replace("(", "(limits "), *lines.values()]
    limit = "no limit" if case.limit is None else case.limit + unenforced
    cap, swap = (" or ".join(dict.fromkeys(key(name)(one) for one in cases)) for name in ("cap", "swap"))
    limits = {one.limit for one in cases}
    several = f" at {len(limits)} limits" if case.is_program else ""
    at_limit = several + unenforced.replace("(", "(limits ") if len(limits) > 1 else f" at {limit}"
    simulated = f", {case.simulated}" if case.simulated else ""
    first = f"{_subject(cases)}{at_limit}{simulated}"
    constraints = case.constraints.without(["memory_bytes", "swap_bytes"]).words.values()
    views = dict.fromkeys(one.view for one in cases)
    view_words = [] if views.keys() == {HOST} else [f"view {' or '.join(views)}"]
    reader = [] if case.is_program else [f"reader {' or '.join(dict.fromkeys(one.reader for one in cases))}"]
    reader += filter(None, dict.fromkeys(one.form for one in cases))
    view_words += ["in parallel"] if any(one.parallel for one in cases) else []
    where = ", ".join([f"cap {cap}, swap {swap}", *reader, *view_words, *constraints])
    if lines:
        first = f"{_subject(cases)} on {', '.join(map(str, lines))}{simulated}"
        where = ", ".join([f"cap {cap}", *reader, *view_words])
    return [first, where, *lines.values(), *_circumstances(case), *_bound(members)]


def _subject(cases: Sequence[Case]) -> str:
    """Return the test and the workload; for programs of no test, the name of the only one or their number."""
    case, names = cases[0], {case.policy for case in cases}
    if case.is_program and not case.test:
        return case.policy if len(names) == 1 else f"{len(names)} programs"
    return f"{case.test} {case.workload}".lstrip()


def _circumstances(case: Case) -> list[str]:
    """Return a line on arrivals and conditions, unless all requests arrive at once without a condition."""
    seed = "" if case.seed is None else f", seed {case.seed}"
    loop = {"open": f"open loop: {shortened(case.arrivals)}{seed}", "closed": "closed loop"}.get(case.loop)
    conditions = f"conditions: {case.conditions}" if any(ask.when for ask in case.requests) else None
    line = "; ".join(text for text in (loop, conditions) if text is not None)
    return [line] if line else []


def _bound(members: Sequence[Row]) -> list[str]:
    """Return a line on the bound of each host and device, if it is known."""
    known = {_location(row.record): row.record for row in reversed(members) if spread(row.record, "bound_s")}
    places = [place for place in dict.fromkeys(_location(row.record) for row in members) if place in known]
    return [f"{f'{place}: ' if len(known) > 1 else ''}{_bound_of(known[place])}" for place in places]


def _location(record: Record) -> str:
    case = record.case
    return ", ".join(filter(None, [case.host, case.device])) or "none"


def _bound_of(record: Record) -> str:
    metrics = ("bound_s", "bound_read_bytes", "bound_read_s", "bound_compute_s")
    bound, size, reading, computing = (spread(record, metric) for metric in metrics)
    read = NONE if size is None else format_size(round(size.median))
    memory, step = spread(record, "bound_memory_s"), spread(record, "bound_step_s")
    within = "" if memory is None else f"; with this memory {_exact(memory)}"
    later = "" if step is None else f"; bound of a later step {_exact(step)}"
    return (
        f"bound {_exact(bound)}: reading {read} takes {_exact(reading)}, computing {_exact(computing)}{within}{later}"
    )


def _exact(times: Spread | None) -> str:
    return NONE if times is None else f"{seconds(times.median, 3)} s"
