"""Custom JSON of github-action-benchmark: entries of name, value, unit, range and a few words more.

A file has one direction there: `customSmallerIsBetter` for what `render` returns, `customBiggerIsBetter` for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pytest_edgeload.report.services import Told, told
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding
from pytest_edgeload.results.record import Better


class _Entry(msgspec.Struct, omit_defaults=True):
    name: str
    unit: str
    value: float
    range: str = ""
    extra: str = ""


def render(document: Document, findings: Sequence[Finding], view: View) -> str:  # noqa: ARG001  # it judges itself
    """Return an entry for each figure of which a lower value is better."""
    return _entries(document, view, "lower")


def render_bigger(document: Document, findings: Sequence[Finding], view: View) -> str:  # noqa: ARG001
    """Return an entry for each figure of which a higher value is better."""
    return _entries(document, view, "higher")


def _entries(document: Document, view: View, better: Better) -> str:
    entries = [_entry(one) for one in told(document.records, view) if one.column.better == better]
    return msgspec.json.format(msgspec.json.encode(entries), indent=1).decode()


def _entry(one: Told) -> _Entry:
    figure, found = one.column.figure, one.found
    assert figure is not None  # it was told of
    interval = found.interval
    between = "" if interval is None else f"{interval.low:.6g} to {interval.high:.6g}"
    rounds = f"{found.runs} round{'' if found.runs == 1 else 's'}"
    words = f"{figure.stat} of {rounds}; {one.column.better} is better"
    certain = f"; the range is its {100 * found.confidence:.0f} % interval" if between else ""
    return _Entry(f"{one.case}: {one.column.name}", figure.unit, found.value, between, words + certain)
