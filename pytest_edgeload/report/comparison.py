"""The comparison with a baseline: one row per case, then and now, and a line on each finding that is not ok."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.columns import KEYS
from pytest_edgeload.report.grid import Cell, Grid, fitted, omission
from pytest_edgeload.results.case import HOST, Case
from pytest_edgeload.results.finding import (
    Finding,
    Judgement,
    Side,
    Sides,
    identity,
    incomparable,
    shown_change,
    shown_interval,
)
from pytest_edgeload.results.own import own_figures
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import change, value_of
from pytest_edgeload.results.threshold import Figure

_NONE = "-"
_SUMMARIZED = {"new", "missing", "incomparable"}
"""Verdicts whose findings share a line, because they all have the same reason."""

_HEADERS = ("policy", "workload", "limit", "reader", "figure", "then", "now", "change", "95% interval")
_TEXTS, _ESSENTIAL = frozenset({0, 1, 3, 4}), frozenset({0, 1, 2, 4, 5, 6, 7})


def table(
    before: Iterable[Record],
    after: Sequence[Record],
    *,
    strangers: Collection[str | None] = (),
    width: int | None = None,
) -> str:
    """Return rows for each case that both sessions have: its main figure, those that its program reports, its memory.

    `strangers` are the hosts that are different machines in the sessions, and None if this machine is.

    If lines are longer than `width`, a last line names the columns that were left out.
    """
    then, now = Sides.of(before), Sides.of(after)
    rows = []
    for record in after:
        old, new = then.side(record.case, None), now.side(record.case, None)
        if old is not None and new is not None:
            own = [one for one in own_figures([record, old.record]) if old.has(one) or new.has(one)]
            figures = [Figure(record.case.main_metric), *own, Figure(record.case.memory_metric)]
            rows += [_row(figure, old, new, is_alike=record.case.host not in strangers) for figure in figures]
    if not rows:
        return ""
    cells = tuple(tuple(Cell(printable(text)) for text in row) for row in rows)
    are_programs = all(record.case.is_program for record in after)
    whole = Grid(_HEADERS, cells, _TEXTS, _ESSENTIAL)
    grid, omitted = fitted(_of_programs(whole) if are_programs else whole, width)
    return "\n".join([grid.lines(), *omission(omitted, width)])


def _of_programs(grid: Grid) -> Grid:
    """Return the table without the workload and the reader, which programs do not have."""
    grid = grid.without(_HEADERS.index("reader")).without(_HEADERS.index("workload"))
    return replace(grid, headers=("program", *grid.headers[1:]))


def without_common_case(before: Sequence[Record], after: Sequence[Record], names: tuple[str, str] = ("A", "B")) -> str:
    """Return lines that say that no case is in both sessions, and name the first case of each by its name.

    If both have the same label, the lines have the first other coordinate that differs as well.
    """
    lines = ["no case is in both sessions"]
    coordinate = _differing(before, after)
    for name, records in zip(names, (before, after), strict=True):
        more = f"; and {len(records) - 1} more" if len(records) > 1 else ""
        lines.append(f"{name} has {_with(coordinate, records[0].case)}{more}" if records else f"{name} has no case")
    return "\n".join(lines)


def _differing(before: Sequence[Record], after: Sequence[Record]) -> str | None:
    """Return the first coordinate that the first case of each session has differently; None if their labels differ."""
    cases = [records[0].case for records in (before, after) if records]
    if len(set(map(label, cases))) > 1:
        return None
    return next((name for name, show in KEYS.items() if len({show(identity(case)) for case in cases}) > 1), None)


def _with(coordinate: str | None, case: Case) -> str:
    """Return the label of a case, with one more coordinate if there is one."""
    if coordinate is None:
        return label(case)
    return printable(f"{label(case)}, {coordinate} {KEYS[coordinate](case) or 'none'}")


def _row(figure: Figure, then: Side, now: Side, *, is_alike: bool) -> list[str]:
    case = now.record.case
    runs = then.runs(figure), now.runs(figure)
    values = [value_of(side, figure.stat) for side in runs]
    shown = [_NONE if value is None else figure.show(value) for value in values]
    is_comparable = incomparable(figure, then.record.case, case, is_alike=is_alike) is None
    changed = change(*runs, figure.stat) if is_comparable else None
    words = (_NONE, "") if changed is None else (shown_change(changed, figure), shown_interval(changed, figure))
    return [case.policy, case.workload, limit_of(case), case.reader, str(figure), *shown, words[0], words[1] or _NONE]


def judged(judgement: Judgement) -> str:
    """Return the counts of verdicts, a line on each finding that is not ok, and one on each idle threshold.

    New or missing cases share a line.
    """
    lines = [str(judgement)] if judgement.findings else []
    for verdict in judgement.counts:
        own = [finding for finding in judgement.findings if finding.verdict == verdict]
        if verdict in _SUMMARIZED and len(own) > 1:
            lines.append(f"{line(own[0])}; and {len(own) - 1} more")
        elif verdict != "ok":
            lines += map(line, own)
    return "\n".join([*lines, *map(printable, judgement.idle)])


def line(finding: Finding) -> str:
    """Return a finding as one line."""
    return printable(f"{finding.verdict}: {label(finding.case)}: {finding}")


def limit_of(case: Case) -> str:
    """Return the limit of a case and its device for the cell of a table."""
    host = "" if case.host is None else f"host {case.host}"
    view = "" if case.view == HOST else f"view {case.view}"
    parallel = "in parallel" if case.parallel else ""
    details = [case.device or "", host, view, parallel, case.form, case.simulated]
    words = ", ".join(filter(None, details))
    return f"{case.limit or 'none'}{words and f' ({words})'}"


def label(case: Case) -> str:
    """Return a short name of a case."""
    return printable(case.title if case.is_program else f"{case.title}, reader {case.reader}")
