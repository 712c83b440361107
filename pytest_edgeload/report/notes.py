"""Notes that qualify the figures: failures, outlying rounds, and limits of the measurement, one line each."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.base.text import printable
from pytest_edgeload.results.record import Case, Measurement, Record
from pytest_edgeload.results.statistics import outliers


def failures(records: Sequence[Record]) -> list[str]:
    """Return a line on each round that failed."""
    return [
        printable(f"{_round(record.case, m.round)}: {m.outcome}: {m.detail}")
        for record in records
        for m in record.rounds
        if m.outcome != "ok"
    ]


def outlying(records: Sequence[Record]) -> list[str]:
    """Return a line on each round that is far from the others of its case."""
    return [
        printable(f"outlier, included: {_round(r.case, m.round)}: {_main(r.case, m)}")
        for r in records
        for m in outliers(r, r.case.main_metric)
    ]


def remarks(records: Sequence[Record]) -> list[str]:
    """Return the remarks on how the figures were measured, each once."""
    everything = [measurement for record in records for measurement in record.rounds]
    shared = sorted({name for measurement in everything for name in measurement.machine_wide})
    lines = list(dict.fromkeys(notice for measurement in everything for notice in measurement.notices))
    if any((m.peak_bytes or 0) > r.case.limit_bytes for r in records if r.case.limit_bytes for m in r.rounds):
        lines.append("peak includes pages of shared libraries, most of which the limit does not count")
    if shared:
        lines.append(
            f"counted for the whole machine, because this kernel does not count per group: {', '.join(shared)}"
        )
    if not all(measurement.interleaved for measurement in everything):
        lines.append("rounds were not interleaved, because xdist distributes the tests")
    return list(map(printable, lines))


def _main(case: Case, measurement: Measurement) -> str:
    return f"{measurement.value(case.main_metric):.2f} s"


def _round(case: Case, number: int) -> str:
    return f"{case.policy}, {case.workload} {case.place}, round {number}"
