"""What all services are told: each metric of each case that went well, with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.columns import Column, column, full_name, rows
from pytest_edgeload.report.view import View
from pytest_edgeload.results.record import METRICS, Record
from pytest_edgeload.results.statistics import Estimate, estimate, lacking


@dataclass(frozen=True, slots=True)
class Told:
    """One figure of one case; `case` is its name in every session."""

    case: str
    column: Column
    found: Estimate


def told(records: Sequence[Record], view: View) -> Iterator[Told]:
    """Yield the figures among the columns of the view, where it chooses none all metrics that are one number a run."""
    names = view.columns or [name for name in METRICS if name != "response_s"]
    chosen = [made for name in names if (made := column(name)).figure is not None]
    for row in rows(records):
        for made in chosen:
            assert made.figure is not None  # or it would not have been chosen
            runs, stat = row.runs(made.figure), made.figure.stat
            found = None if lacking(runs, stat) else estimate(runs, stat)
            if found is not None:
                yield Told(printable(full_name(row.record.case)), made, found)
