"""A self-contained HTML page that opens without a network: charts, tables, the machine.

Charts are plotly.js figures, built here as plain data; the script of the page draws them in light or dark colours.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.report import details, devices, notes
from pytest_edgeload.report.comparison import label
from pytest_edgeload.report.grid import Grid
from pytest_edgeload.report.html import about, cases, frame, summary
from pytest_edgeload.report.html.experiment import experiments
from pytest_edgeload.report.html.figures import figures
from pytest_edgeload.report.tables import tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Finding, Judgement
from pytest_edgeload.results.record import Record


def render(document: Document, judgement: Judgement, view: View) -> str:
    """Return the page. Raises Unsupported if jinja2 or plotly is not installed."""
    compared = experiments(document.records, view)
    titles = summary.titles(compared)
    winners = summary.winners(compared, titles)
    return frame.page(
        "page.html.j2",
        "page.js",
        document,
        figures(compared, titles),
        title=about.title(document),
        subtitle=about.origin(document),
        tiles=summary.tiles(document, judgement),
        winners=winners,
        are_programs=bool(document.records) and all(record.case.is_program for record in document.records),
        has_metrics=any(len(one.figures) > 1 for one in compared),
        headlines=list(summary.headlines(winners)),
        unenforced=devices.unenforced(record.case for record in document.records),
        devices=devices.grid(record.case for record in document.records),
        failures=notes.failures(document.records),
        remarks=[*notes.outlying(document.records), *notes.remarks(document.records, view)],
        table=cases.table(document.records, view),
        details=_details(document.records),
        findings=list(map(_finding, judgement.findings)),
        idle=judgement.idle,
    )


def _details(records: Sequence[Record]) -> list[tuple[str, Grid]]:
    """Return the table by stream or network of each comparison group whose requests keep arriving, with its title."""
    shown = ((table.title[0], details.grid(table)) for table in tables(records, View()))
    return [(f"By {grid.headers[0]}: {title}", grid) for title, grid in shown if grid is not None]


def _finding(finding: Finding) -> dict[str, str]:
    mood = summary.mood(finding.verdict)
    return {"verdict": finding.verdict, "mood": mood, "case": label(finding.case), "text": str(finding)}
