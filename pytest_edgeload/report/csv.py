"""One row per round for spreadsheets and data frames: the coordinates of the case, the outcome and the figures.

By default the figures are all metrics, with those of streams and those that programs reported at the end. Numbers are
not rounded, and the name of a metric ends in its unit; a program may leave it out of its own names.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence

from pytest_edgeload.report.columns import KEYS, Column, Row, Value, column, figure_column, rows
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.own import optional_metrics, own_figures, stream_figures
from pytest_edgeload.results.record import Record

_FIXED = (*KEYS, "limit_bytes", "round", "outcome", "detail")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def render(document: Document, judgement: Judgement, view: View) -> str:  # noqa: ARG001  # rows are rounds
    """Return the rounds of all records as CSV with a header line."""
    own = optional_metrics(document.records)
    named = [column(name, own) for name in view.columns]
    added = [*stream_figures(document.records), *own_figures(document.records)]
    usual = [*map(column, METRICS), *map(figure_column, added)]
    chosen = [col for col in named or usual if col.name not in _FIXED]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*_FIXED, *(col.name for col in chosen)])
    for row in rows(document.records):
        writer.writerows(_rounds(row, chosen))
    return file.getvalue()


def _rounds(row: Row, chosen: Sequence[Column]) -> Iterator[list[Value]]:
    case = row.record.case
    coordinates = [_harmless(show(case)) for show in KEYS.values()]
    for measurement in row.record.rounds:
        single = Row(Record(case, (measurement,)), row.group)
        fixed = [case.limit_bytes, measurement.round, measurement.outcome, _harmless(measurement.detail)]
        yield [*coordinates, *fixed, *(_plain(col.value(single)) for col in chosen)]


def _plain(value: Value) -> Value:
    """Return the value for the file: whole numbers without a decimal point, texts without formulas."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Return `text` in a form that no spreadsheet interprets as a formula."""
    plain = unicodedata.normalize("NFKC", text[:1])  # some spreadsheets accept full-width signs as well
    return f"'{text}" if plain.startswith(_FORMULA) else text
