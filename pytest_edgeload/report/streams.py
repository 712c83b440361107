"""The table of streams: requests due, in time, late and dropped, the rate and response times of each policy. Pure."""

from __future__ import annotations

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.columns import NONE, Row
from pytest_edgeload.report.digits import number
from pytest_edgeload.report.grid import Cell, Grid
from pytest_edgeload.report.tables import Table, labels_of
from pytest_edgeload.results.own import streams_of
from pytest_edgeload.results.statistics import lacking, value_of
from pytest_edgeload.results.stream_stats import of_stream
from pytest_edgeload.results.threshold import Figure

_FIGURES = {
    "due": Figure("requests_due"),
    "in time": Figure("in_time"),
    "late": Figure("deadline_misses"),
    "overruns": Figure("overruns"),
    "per s": Figure("rate_per_s"),
    "p50 s": Figure("response_s", "p50"),
    "p90 s": Figure("response_s", "p90"),
    "p99 s": Figure("response_s", "p99"),
}
"""The columns by title; a stream's metric has the stream in brackets."""


def grid(table: Table) -> Grid | None:
    """Return a row for each stream and policy; None without streams.

    Counts, shares and rates are medians over the rounds that were ok; percentiles are of the requests of all rounds. A
    column without values is left out.
    """
    streams = streams_of(row.record for row in table.rows)
    if not streams:
        return None
    labels = labels_of(table.rows)
    cells = [(stream, row, _cells(stream, row)) for stream in streams for row in table.rows]
    shown = [i for i in range(len(_FIGURES)) if any(texts[i][0].isdigit() for _, _, texts in cells)]
    rows = tuple(
        tuple(
            Cell(printable(text))
            for text in (stream, *(label.show(row) for label in labels), *(texts[i] for i in shown))
        )
        for stream, row, texts in cells
    )
    names = 1 + len(labels)
    headers = ("stream", *(label.title for label in labels), *(list(_FIGURES)[i] for i in shown))
    return Grid(headers, rows, frozenset(range(names)), frozenset(range(names + 2)))


def _cells(stream: str, row: Row) -> list[str]:
    return [_cell(Figure(of_stream(figure.metric, stream), figure.stat), row) for figure in _FIGURES.values()]


def _cell(figure: Figure, row: Row) -> str:
    runs = row.runs(figure)
    value, needed = value_of(runs, figure.stat), lacking(runs, figure.stat)
    if value is None or needed is not None:
        return NONE if value is None else f"needs {needed}"
    return number(value, figure.unit)
