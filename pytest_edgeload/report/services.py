"""The figures that benchmark services receive: each metric of each case, with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.columns import Column, column, figure_column, full_name, rows
from pytest_edgeload.report.view import View
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.own import optional_metrics, own_figures, stream_figures
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import Estimate, estimate, lacking
from pytest_edgeload.results.threshold import Figure


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """One figure of one case; `case` is a name that the case has in every session."""

    case: str
    column: Column
    figure: Figure
    estimate: Estimate


def entries(records: Sequence[Record], view: View) -> Iterator[ServiceEntry]:
    """Yield the figures among the view's columns; without columns, all metrics that are a single number per run.

    A series that a program reported is replaced by its statistics.
    """
    own = optional_metrics(records)
    named = [column(name, own) for name in view.columns]
    added = [*stream_figures(records), *own_figures(records)]
    usual = [*(column(name) for name in METRICS if name != "response_s"), *map(figure_column, added)]
    figures = [(col, col.figure) for col in named or usual if col.figure is not None]
    for row in rows(records):
        for col, figure in figures:
            runs = row.runs(figure)
            value = None if lacking(runs, figure.stat) else estimate(runs, figure.stat)
            if value is not None:
                yield ServiceEntry(printable(full_name(row.record.case)), col, figure, value)
