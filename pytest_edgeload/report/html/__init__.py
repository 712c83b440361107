"""One page of HTML that holds everything it needs, and opens without a network: charts, tables, the machine.

Charts are figures of plotly.js, made here as plain data; the page's script draws them in the colours of the reader's
choice. A policy on content (CSP) forbids the page to fetch anything, and to run any script but its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from importlib.util import find_spec

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.text import printable
from pytest_edgeload.report import notes
from pytest_edgeload.report.comparison import label
from pytest_edgeload.report.html import summary
from pytest_edgeload.report.html.experiment import experiments
from pytest_edgeload.report.html.figures import encoded, figures
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding

_NEEDED = ("jinja2", "plotly")


def render(document: Document, findings: Sequence[Finding], view: View) -> str:
    """Return the page. Raises Unsupported where what makes it is not installed."""
    _check()
    from jinja2 import Environment  # noqa: PLC0415  # optional, and not for every pytest start
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    environment = Environment(autoescape=True, finalize=_shown, trim_blocks=True, lstrip_blocks=True)
    found = experiments(document.records)
    titled = summary.titles(found)
    plotly, script = get_plotlyjs(), _text("page.js")
    won = summary.winners(found, titled)
    return environment.from_string(_text("page.html.j2")).render(
        title="Loading policies under a memory limit",
        subtitle=summary.origin(document),
        policy=_policy([plotly, script]),
        style=_text("page.css"),
        tiles=summary.tiles(document, findings),
        winners=won,
        headlines=list(summary.headlines(won)),
        failures=notes.failures(document.records),
        remarks=[*notes.outlying(document.records), *notes.remarks(document.records)],
        table=summary.table(document.records, view),
        findings=list(map(_finding, findings)),
        about=summary.about(document),
        settings=list(document.settings.items()),
        data=encoded(figures(found, titled)),
        plotly=plotly,
        script=script,
    )


def _check() -> None:
    """Raise Unsupported where what makes the page is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise Unsupported(f"an HTML report needs {' and '.join(missing)}; pip install 'pytest-edgeload[html]'")


def _finding(found: Finding) -> dict[str, str]:
    mood = summary.mood(found.verdict)
    return {"verdict": found.verdict, "mood": mood, "case": label(found.case), "text": str(found)}


def _shown(value: object) -> object:
    """Return what the template shows of a value: of text that others wrote, no control characters."""
    return printable(value) if type(value) is str else value  # not what the template calls safe, which is ours


def _policy(scripts: Iterable[str]) -> str:
    """Return a policy by which the page fetches nothing and runs these scripts only."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
