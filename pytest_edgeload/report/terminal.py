"""The tables of the terminal summary, what they do not say, and what became of it all by the gate."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from pytest_edgeload.report import comparison
from pytest_edgeload.report.grid import Cell, Grid, fitted, painted, room
from pytest_edgeload.report.notes import failures, remarks, strange
from pytest_edgeload.report.tables import Table, by_network, tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding, identity


def render(document: Document, findings: Sequence[Finding], view: View) -> str:
    """Return the summary, and all verdicts."""
    parts = summary(document, findings, view), verdicts(findings, view)
    return "\n\n".join(part for part in parts if part)


def summary(document: Document, findings: Sequence[Finding], view: View) -> str:
    """Return all tables, and a line on each outcome that is not ok and on what the figures do not say.

    Where lines are limited, the last columns are left out until the others fit, and named. Sentences stay whole: they
    are searched for.
    """
    records = document.records
    regressed = {identity(finding.case) for finding in findings if finding.verdict == "regressed"}
    gone: list[str] = []
    blocks = [_block(table, table.grid(regressed), view, gone) for table in tables(records, view)]
    notes = [failures(records), strange(records), [*remarks(records), *room(gone, view.width)]]
    blocks += ["\n".join(lines) for lines in notes if lines]
    return "\n\n".join(blocks)


def verdicts(findings: Sequence[Finding], view: View) -> str:
    """Return what became of all that was judged; what regressed stands out where there are colours."""
    lines = comparison.judged(findings).splitlines()
    return "\n".join(painted(Cell(line, "bad")) if view.colour and _is_bad(line) else line for line in lines)


def _is_bad(line: str) -> bool:
    return line.startswith("regressed: ")


def _block(table: Table, grid: Grid, view: View, gone: list[str]) -> str:
    lines = [*_wrapped(table.title, view.width), _lines(grid, view, gone)]
    networks = by_network(table)
    if networks is not None:
        lines += ["", _lines(networks, view, gone)]
    return "\n".join(lines)


def _lines(grid: Grid, view: View, gone: list[str]) -> str:
    grid, left_out = fitted(grid, view.width)
    gone += left_out
    return grid.lines(colour=view.colour)


def _wrapped(lines: Iterable[str], width: int | None) -> list[str]:
    """Return the lines, those that are longer than `width` continued on indented ones."""
    if width is None:
        return list(lines)
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ") or [""]]
