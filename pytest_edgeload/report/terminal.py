"""The terminal summary: tables, notes on failures and figures, and the findings of the gate."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from pytest_edgeload.report import comparison, details
from pytest_edgeload.report.grid import Cell, Grid, fitted, omission, painted
from pytest_edgeload.report.notes import failures, outlying, remarks
from pytest_edgeload.report.tables import Table, tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement


def render(document: Document, judgement: Judgement, view: View) -> str:
    """Return the summary and the verdicts."""
    parts = summary(document, judgement, view), verdicts(judgement, view)
    return "\n\n".join(part for part in parts if part)


def summary(document: Document, judgement: Judgement, view: View) -> str:
    """Return all tables, a line on each outcome that is not ok, and notes on the figures.

    If the width is limited, the last columns are left out until the others fit, and a line names them. Sentences are
    not wrapped, so that tools can search for them.
    """
    records = document.records
    omitted: list[str] = []
    blocks = [_block(table, table.grid(judgement.regressed), view, omitted) for table in tables(records, view)]
    notes = [failures(records), outlying(records), [*remarks(records, view), *omission(omitted, view.width)]]
    blocks += ["\n".join(lines) for lines in notes if lines]
    return "\n\n".join(blocks)


def verdicts(judgement: Judgement, view: View) -> str:
    """Return all findings and idle thresholds; with colours, regressions are highlighted."""
    lines = comparison.judged(judgement).splitlines()
    return "\n".join(painted(Cell(line, "bad")) if view.colour and _is_bad(line) else line for line in lines)


def _is_bad(line: str) -> bool:
    return line.startswith("regressed: ")


def _block(table: Table, grid: Grid, view: View, omitted: list[str]) -> str:
    """Return a table with its title and, if requests keep coming, the table by stream or network; extend `omitted`."""
    lines = [*_wrapped(table.title, view.width), _lines(grid, view, omitted)]
    served = details.grid(table)
    if served is not None:
        lines += ["", _lines(served, view, omitted)]
    return "\n".join(lines)


def _lines(grid: Grid, view: View, omitted: list[str]) -> str:
    grid, headers = fitted(grid, view.width)
    omitted += headers
    return grid.lines(colour=view.colour)


def _wrapped(lines: Iterable[str], width: int | None) -> list[str]:
    """Return the lines, with indented continuations of lines longer than `width`."""
    if width is None:
        return list(lines)
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ") or [""]]
