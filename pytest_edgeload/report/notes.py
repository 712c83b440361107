"""Notes that qualify the figures: failures, outlying rounds, and limits of the measurement, one line each."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.base.text import listed, printable
from pytest_edgeload.base.units import format_number
from pytest_edgeload.report.columns import NAME, column
from pytest_edgeload.report.digits import number
from pytest_edgeload.report.sharing import sharing
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import METRICS, Measurement
from pytest_edgeload.results.own import disagreements, optional_metrics, unreported
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import outliers
from pytest_edgeload.results.threshold import Figure

_MAX_ROWS = 3  # that a line names
_SWAP = ("swap_in_bytes", "swap_out_bytes")


def failures(records: Sequence[Record]) -> list[str]:
    """Return a line on each failure; the rounds of a case that failed in the same way share a line."""
    lines = []
    for record in records:
        rounds: dict[str, list[int]] = {}
        for m in record.rounds:
            if m.outcome != "ok":
                rounds.setdefault(f"{m.outcome}: {m.detail}", []).append(m.round)
        lines += [printable(f"{_rounds(record.case, failed)}: {failure}") for failure, failed in rounds.items()]
    return lines


def outlying(records: Sequence[Record]) -> list[str]:
    """Return a line on each round that is far from the others of its case."""
    return [
        printable(f"outlier, included: {_round(r.case, m.round)}: {_main(r.case, m)}")
        for r in records
        for m in outliers(r, r.case.main_metric)
    ]


def notices(records: Sequence[Record]) -> list[str]:
    """Return each notice of a run with the rows that have it; equal notices share a line."""
    cases: dict[str, list[Case]] = {}
    for record in records:
        for notice in dict.fromkeys(notice for m in record.rounds for notice in m.notices):
            cases.setdefault(notice, []).append(record.case)
    return [printable(f"{_rows(own, len(records))}: {notice}") for notice, own in cases.items()]


def _rows(cases: Sequence[Case], count: int) -> str:
    """Return the names of some of `count` rows."""
    if len(cases) == count > 1:
        return "all rows"
    rest = len(cases) - _MAX_ROWS
    return "; ".join([*(case.title for case in cases[:_MAX_ROWS]), *([f"{rest} more"] if rest > 0 else [])])


def remarks(records: Sequence[Record], view: View) -> list[str]:
    """Return the remarks on how the figures were measured, and on those of the view that were not, each once."""
    everything = [measurement for record in records for measurement in record.rounds]
    lines = [*notices(records), *disagreements(records), *_absent(records, view)]
    resident = [r for r in records if r.case.limit_bytes and not r.case.is_program]
    if any((m.peak_bytes or 0) > (r.case.limit_bytes or 0) for r in resident for m in r.rounds):
        lines.append("peak includes pages of shared libraries, most of which the limit does not count")
    if retried := sum(len(record.retried) for record in records):
        lines.append(f"measurements of failed attempts, kept in the records but not counted: {retried}")
    if idle := _idle_powers(records):
        lines.append(f"energy_j is without the power of the idle machine: {', '.join(idle)}")
    shared = _shared(everything)
    if shared:
        lines.append(
            f"counted for the whole machine, because this kernel does not count per group: {', '.join(shared)}"
        )
    if not all(measurement.interleaved for measurement in everything):
        lines.append("rounds were not interleaved, because xdist distributes the tests")
    return list(map(printable, [*lines, *sharing(records)]))


def _absent(records: Sequence[Record], view: View) -> list[str]:
    """Return a line on each metric among the columns and the order of a view that no program reported."""
    reported = optional_metrics(records)
    names = dict.fromkeys([*view.columns, *([view.sort] if view.sort not in {"", NAME} else [])])
    figures = (figure for name in names if (figure := column(name).figure) is not None)
    return [line for figure in figures if (line := unreported(figure, reported)) is not None]


def _idle_powers(records: Sequence[Record]) -> list[str]:
    """Return each power that was subtracted from the energy, with the name of its host if it has one."""
    known = ((r.case.host, m.idle_power_w) for r in records for m in r.rounds if m.idle_power_w is not None)
    return [f"{host or ''} {format_number(watts)} W".lstrip() for host, watts in dict.fromkeys(known)]


def _shared(everything: Sequence[Measurement]) -> list[str]:
    """Return the metrics other than 0 that other programs may have changed; none if nothing swapped."""
    names = {name for m in everything for name in m.machine_wide if name in METRICS and m.value(name)}
    return sorted(names) if names.intersection(_SWAP) else []


def _main(case: Case, measurement: Measurement) -> str:
    figure = Figure(case.main_metric)
    value = number(measurement.value(case.main_metric), figure.unit)
    return f"{value} s" if figure.unit == "s" else f"{figure} {value}"


def _rounds(case: Case, indices: Sequence[int]) -> str:
    return _round(case, indices[0]) if len(indices) == 1 else f"{case.title}, rounds {listed(indices)}"


def _round(case: Case, index: int) -> str:
    return f"{case.title}, round {index}"
