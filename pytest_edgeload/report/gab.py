"""Custom JSON of github-action-benchmark: a list of points with name, value, unit, range and a short text.

All points of a file have the same direction there: the tool is `customSmallerIsBetter` for the result of `render`, and
`customBiggerIsBetter` for that of `render_bigger`.
"""

from __future__ import annotations

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.services import ServiceEntry, entries
from pytest_edgeload.report.view import View
from pytest_edgeload.results.bootstrap import CONFIDENCE
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.metric import Better


class _Point(msgspec.Struct, omit_defaults=True):
    name: str
    unit: str
    value: float
    range: str = ""
    extra: str = ""


def render(document: Document, judgement: Judgement, view: View) -> str:  # noqa: ARG001  # the action judges
    """Return a point for each figure whose lower values are better."""
    return _points(document, view, "lower")


def render_bigger(document: Document, judgement: Judgement, view: View) -> str:  # noqa: ARG001
    """Return a point for each figure whose higher values are better."""
    return _points(document, view, "higher")


def _points(document: Document, view: View, better: Better) -> str:
    points = [_point(entry) for entry in entries(document.records, view) if entry.column.better == better]
    return msgspec.json.format(msgspec.json.encode(points), indent=1).decode()


def _point(entry: ServiceEntry) -> _Point:
    figure, estimate = entry.figure, entry.estimate
    interval = estimate.interval
    ends = "" if interval is None else f"{interval.low:.6g} to {interval.high:.6g}"
    rounds = f"{estimate.runs} round{'' if estimate.runs == 1 else 's'}"
    extra = f"{figure.stat} of {rounds}; {entry.column.better} is better"
    if ends:
        extra += f"; the range is its {100 * CONFIDENCE:.0f} % interval"
    return _Point(f"{entry.case}: {entry.column.name}", printable(figure.unit), estimate.value, ends, extra)
