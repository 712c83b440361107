"""One row a round, for spreadsheets and data frames: where and when, what came of it, and its figures.

Without columns chosen these are all metrics. Numbers are whole and in the unit that the name of their column ends in.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence

from pytest_edgeload.report.columns import KEYS, Column, Row, Value, column, rows
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding
from pytest_edgeload.results.record import METRICS, Record

_WHERE = (*KEYS, "limit_bytes", "round", "outcome", "detail")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def render(document: Document, findings: Sequence[Finding], view: View) -> str:  # noqa: ARG001  # a verdict is no row
    """Return the rounds of all records as CSV, with a line of headers."""
    chosen = [made for name in view.columns or METRICS if (made := column(name)).name not in _WHERE]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*_WHERE, *(made.name for made in chosen)])
    for row in rows(document.records):
        writer.writerows(_rounds(row, chosen))
    return file.getvalue()


def _rounds(row: Row, chosen: Sequence[Column]) -> Iterator[list[Value]]:
    case = row.record.case
    named = [_harmless(show(case)) for show in KEYS.values()]
    for measurement in row.record.rounds:
        alone = Row(Record(case, (measurement,)), row.group)
        seen = [case.limit_bytes, measurement.round, measurement.outcome, _harmless(measurement.detail)]
        yield [*named, *seen, *(_plain(made.value(alone)) for made in chosen)]


def _plain(value: Value) -> Value:
    """Return what the file has of a value: a whole number without a point."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Return `text` such that no spreadsheet takes it for a formula."""
    plain = unicodedata.normalize("NFKC", text[:1])  # some take wide signs for what they look like
    return f"'{text}" if plain.startswith(_FORMULA) else text
