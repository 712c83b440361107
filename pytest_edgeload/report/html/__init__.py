"""A self-contained HTML page that opens without a network: charts, tables, the machine.

Charts are plotly.js figures, built here as plain data; the script of the page draws them in light or dark colours. A
content security policy (CSP) prevents the page from fetching anything and from running any script but its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from importlib.util import find_spec

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.text import printable
from pytest_edgeload.report import details, devices, notes
from pytest_edgeload.report.comparison import label
from pytest_edgeload.report.grid import Grid
from pytest_edgeload.report.html import about, cases, summary
from pytest_edgeload.report.html.experiment import experiments
from pytest_edgeload.report.html.figures import encoded, figures
from pytest_edgeload.report.tables import tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Finding, Judgement
from pytest_edgeload.results.record import Record

_NEEDED = ("jinja2", "plotly")


def render(document: Document, judgement: Judgement, view: View) -> str:
    """Return the page. Raises Unsupported if jinja2 or plotly is not installed."""
    _check()
    from jinja2 import Environment  # noqa: PLC0415  # optional, and not for every pytest start
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    environment = Environment(autoescape=True, finalize=_finalized, trim_blocks=True, lstrip_blocks=True)
    compared = experiments(document.records, view)
    titles = summary.titles(compared)
    plotly, script = get_plotlyjs(), _text("page.js")
    winners = summary.winners(compared, titles)
    return environment.from_string(_text("page.html.j2")).render(
        title=about.title(document),
        subtitle=about.origin(document),
        policy=_policy([plotly, script]),
        style=_text("page.css"),
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
        about=about.about(document),
        settings=list(document.settings.items()),
        data=encoded(figures(compared, titles)),
        plotly=plotly,
        script=script,
    )


def _check() -> None:
    """Raise Unsupported if a package that renders the page is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        reason = f"needs {' and '.join(missing)}"
        raise Unsupported("an HTML report", reason, "pip install 'pytest-edgeload[html]'")


def _details(records: Sequence[Record]) -> list[tuple[str, Grid]]:
    """Return the table by stream or network of each comparison group whose requests keep arriving, with its title."""
    shown = ((table.title[0], details.grid(table)) for table in tables(records, View()))
    return [(f"By {grid.headers[0]}: {title}", grid) for title, grid in shown if grid is not None]


def _finding(finding: Finding) -> dict[str, str]:
    mood = summary.mood(finding.verdict)
    return {"verdict": finding.verdict, "mood": mood, "case": label(finding.case), "text": str(finding)}


def _finalized(value: object) -> object:
    """Return the value for the template; control characters are removed from texts that others wrote."""
    return printable(value) if type(value) is str else value  # not from our own, which the template marks as safe


def _policy(scripts: Iterable[str]) -> str:
    """Return a content security policy that allows only these scripts and no fetching."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
