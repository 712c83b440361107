"""Then and now: one row a case, and a line on everything that was judged and is not well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.grid import Cell, Grid, fitted, room
from pytest_edgeload.results.gate import Finding, Side, Sides, incomparable
from pytest_edgeload.results.record import Case, Record
from pytest_edgeload.results.statistics import contrast, estimate
from pytest_edgeload.results.threshold import Figure

_NONE = "-"
_ALIKE = {"new", "missing", "incomparable"}
"""Verdicts about cases of which one is like the other."""

_HEADERS = ("policy", "workload", "limit", "reader", "figure", "then", "now", "change", "95% interval")
_TEXTS, _ESSENTIAL = frozenset({0, 1, 3, 4}), frozenset({0, 1, 4, 5, 6, 7})


def table(before: Iterable[Record], after: Sequence[Record], *, is_alike: bool, width: int | None = None) -> str:
    """Return a row for each case that both have: its main figure and its peak, then and now.

    Of lines longer than `width` the last columns that can be spared are left out, and named.
    """
    then, now = Sides.of(before), Sides.of(after)
    rows = []
    for record in after:
        old, new = then.side(record.case, None), now.side(record.case, None)
        if old is not None and new is not None:
            figures = (Figure(record.case.main_metric), Figure("peak_bytes"))
            rows += [_row(figure, old, new, is_alike=is_alike) for figure in figures]
    if not rows:
        return ""
    cells = tuple(tuple(Cell(printable(text)) for text in row) for row in rows)
    grid, gone = fitted(Grid(_HEADERS, cells, _TEXTS, _ESSENTIAL), width)
    return "\n".join([grid.lines(), *room(gone, width)])


def _row(figure: Figure, then: Side, now: Side, *, is_alike: bool) -> list[str]:
    case = now.record.case
    runs = then.runs(figure), now.runs(figure)
    values = [None if (found := estimate(side, figure.stat)) is None else found.value for side in runs]
    shown = [_NONE if value is None else figure.show(value) for value in values]
    change = between = _NONE
    if None not in values and incomparable(figure, then.record.case, case, is_alike=is_alike) is None:
        found = contrast(*runs, figure.stat, lambda a, b: (b - a) / abs(a))
        change = f"{found.value:+.1%}"
        if found.interval is not None:
            between = f"{found.interval.low:+.1%} to {found.interval.high:+.1%}"
    return [case.policy, case.workload, limit_of(case), case.reader, str(figure), *shown, change, between]


def judged(findings: Sequence[Finding]) -> str:
    """Return how often each verdict came up, and a line on each finding that is not ok; on many missing cases one."""
    if not findings:
        return ""
    counts = Counter(finding.verdict for finding in findings)
    lines = [", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())]
    for verdict in counts:
        own = [finding for finding in findings if finding.verdict == verdict]
        if verdict in _ALIKE and len(own) > 1:
            lines.append(f"{line(own[0])}; and {len(own) - 1} more")
        elif verdict != "ok":
            lines += map(line, own)
    return "\n".join(lines)


def line(finding: Finding) -> str:
    """Return what became of one figure of one case."""
    return printable(f"{finding.verdict}: {label(finding.case)}: {finding}")


def limit_of(case: Case) -> str:
    """Return the limit of a case and its device for a cell."""
    return f"{case.limit or 'none'}{'' if case.device is None else f' ({case.device})'}"


def label(case: Case) -> str:
    """Return a case in words."""
    return printable(f"{case.policy}, {case.workload} {case.place}, reader {case.reader}")
