"""The tables of the terminal summary: one for each comparison group."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tabulate import tabulate

from pytest_edgeload.policies import REFERENCE
from pytest_edgeload.results.record import Case, Record, groups
from pytest_edgeload.results.statistics import Spread, outcomes, ratio, spread
from pytest_edgeload.units import format_size

_NONE = "-"
_THOUSAND = 1000


def render(records: Sequence[Record]) -> str:
    """Return all tables, and a line on each outcome that is not ok and on what the figures do not say."""
    blocks = [_group(case, members) for case, members in groups(records).items()]
    return "\n\n".join([*blocks, *_notes(records)])


def _group(case: Case, members: Sequence[Record]) -> str:
    reference = next((record for record in members if record.case.policy == REFERENCE), None)
    headers = ["policy", "makespan s", f"x {REFERENCE}", "peak", "swap in/out", "faults", "outcome"]
    rows = [_row(record, reference) for record in sorted(members, key=_makespan)]
    align = ("left", "right", "right", "right", "right", "right", "left")
    table = tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)
    return f"{_title(case)}\n{table}"


def _makespan(record: Record) -> float:
    found = spread(record, "makespan_s")
    return math.inf if found is None else found.median


def _title(case: Case) -> str:
    limit = "no limit" if case.limit is None else case.limit + ("" if case.cap != "none" else " (NOT enforced)")
    where = f"cap {case.cap}, swap {case.swap}, reader {case.reader}, {case.threads} threads"
    return f"{case.test} {case.workload} at {limit}\n{where}"


def _row(record: Record, reference: Record | None) -> list[str]:
    relative = None if reference is None else ratio(record, reference, "makespan_s")
    swap = [spread(record, metric) for metric in ("swap_in_bytes", "swap_out_bytes")]
    return [
        record.case.policy,
        _seconds(spread(record, "makespan_s")),
        _NONE if relative is None else f"{relative:.2f}",
        _size(spread(record, "peak_bytes")),
        "/".join(map(_size, swap)),
        _count(spread(record, "major_faults")),
        ", ".join(f"{count} {outcome}" if count > 1 else outcome for outcome, count in outcomes(record).items()),
    ]


def _seconds(found: Spread | None) -> str:
    if found is None:
        return _NONE
    span = "" if found.least == found.greatest else f" ({found.least:.2f}-{found.greatest:.2f})"
    return f"{found.median:.2f}{span}"


def _size(found: Spread | None) -> str:
    return _NONE if found is None else format_size(round(found.median))


def _count(found: Spread | None) -> str:
    if found is None:
        return _NONE
    return f"{found.median / _THOUSAND:.1f}k" if found.median >= _THOUSAND else f"{found.median:.0f}"


def _notes(records: Sequence[Record]) -> list[str]:
    failures = [
        f"{record.case.policy}, {record.case.workload} at {record.case.limit or 'no limit'}, round {m.round}: "
        f"{m.outcome}: {m.detail}"
        for record in records
        for m in record.rounds
        if m.outcome != "ok"
    ]
    everything = [measurement for record in records for measurement in record.rounds]
    shared = sorted({name for measurement in everything for name in measurement.machine_wide})
    notes = []
    if any((m.peak_bytes or 0) > r.case.limit_bytes for r in records if r.case.limit_bytes for m in r.rounds):
        notes.append("peak counts pages of shared libraries, which the limit mostly does not")
    if shared:
        notes.append(f"counted for the whole machine, as this kernel has no count by group: {', '.join(shared)}")
    if not all(measurement.interleaved for measurement in everything):
        notes.append("rounds were not interleaved: xdist hands tests out as it likes")
    return ["\n".join(lines) for lines in (failures, notes) if lines]
