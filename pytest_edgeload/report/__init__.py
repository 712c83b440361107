"""What is shown of records: one file a format, each one pure function of a document. Never imports torch, nor pytest.

A format is added by one file and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytest_edgeload.report import bmf, csv, gab, html, json, markdown, terminal, trace
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding

Report = Callable[[Document, Sequence[Finding], View], str]
"""Records and where they come from, what became of them by the gate, what to show and how; gives a file's text."""

FORMATS: Mapping[str, Report] = {
    "terminal": terminal.render,
    "json": json.render,
    "csv": csv.render,
    "markdown": markdown.render,
    "bmf": bmf.render,
    "gab": gab.render,
    "gab-bigger": gab.render_bigger,
    "html": html.render,
    "trace": trace.render,
}
"""All formats by name."""
