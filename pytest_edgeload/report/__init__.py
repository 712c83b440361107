"""Reports: one file per format, each a pure function of a document. Imports neither torch nor pytest.

A new format is one file and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_edgeload.report import bmf, csv, gab, html, json, markdown, terminal, trace
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement

Report = Callable[[Document, Judgement, View], str]
"""A function of the document, the gate's judgement and the view that returns the text of the report."""

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
