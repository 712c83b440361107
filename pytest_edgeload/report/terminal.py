"""The tables of the terminal summary: one for each comparison group."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from tabulate import tabulate

from pytest_edgeload.policies import REFERENCE
from pytest_edgeload.results.record import Case, Record, groups
from pytest_edgeload.results.statistics import (
    Spread,
    estimate,
    lacking,
    multiple,
    outcomes,
    outliers,
    ratio,
    runs_of,
    spread,
)
from pytest_edgeload.results.threshold import Figure
from pytest_edgeload.units import format_size

_NONE = "-"
_THOUSAND = 1000
_ABOVE = "x bound"  # shown where there is a bound


def render(records: Sequence[Record]) -> str:
    """Return all tables, and a line on each outcome that is not ok and on what the figures do not say."""
    blocks = [_group(case, members) for case, members in groups(records).items()]
    return "\n\n".join([*blocks, *_notes(records)])


def _group(case: Case, members: Sequence[Record]) -> str:
    reference = next((record for record in members if record.case.policy == REFERENCE), None)
    columns = _COLUMNS if case.loop == "once" else _RESPONSE_COLUMNS
    bounded = next((record for record in members if spread(record, "bound_s")), None)
    if bounded is None:
        columns = {title: column for title, column in columns.items() if title != _ABOVE}
    main = case.main_metric
    headers = ["policy", *(title.replace("REFERENCE", REFERENCE) for title in columns), "outcome"]
    ordered = sorted(members, key=lambda record: _median(record, main))
    rows = [
        [
            record.case.policy,
            *(show(record, reference, metric or main) for metric, show in columns.values()),
            _outcome(record),
        ]
        for record in ordered
    ]
    blocks = [_title(case), *_bound(bounded), _table(headers, rows)]
    networks = dict.fromkeys(name for record in ordered for m in record.rounds for name in m.service)
    if case.loop != "once" and networks:
        blocks += ["", _by_network(ordered, networks)]
    return "\n".join(blocks)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = ("left", *["right"] * (len(headers) - 2), "left" if headers[-1] == "outcome" else "right")
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)


def _by_network(records: Sequence[Record], networks: Iterable[str]) -> str:
    """Return the table of mean response times by network and policy: medians over the rounds."""
    headers = ["mean response s", *(record.case.policy for record in records)]
    return _table(headers, [[name, *(_network_response(record, name) for record in records)] for name in networks])


def _network_response(record: Record, network: str) -> str:
    services = [m.service[network] for m in record.rounds if m.outcome == "ok" and network in m.service]
    found = [service.response_mean_s for service in services if service.response_mean_s is not None]
    return f"{statistics.median(found):.2f}" if found else _NONE


def _median(record: Record, metric: str) -> float:
    found = spread(record, metric)
    return math.inf if found is None else found.median


def _title(case: Case) -> str:
    limit = "no limit" if case.limit is None else case.limit + ("" if case.cap != "none" else " (NOT enforced)")
    reads = "" if case.read_bps is None else f", reads at {format_size(case.read_bps)}/s"
    where = f"cap {case.cap}, swap {case.swap}, reader {case.reader}, {case.threads} threads{reads}"
    return "\n".join([f"{case.test} {case.workload} at {limit}", where, *_circumstances(case)])


def _circumstances(case: Case) -> list[str]:
    """Return a line on when requests come and on what condition, where that is not at once and always."""
    seed = "" if case.seed is None else f", seed {case.seed}"
    loop = {"open": f"open loop: {case.arrivals}{seed}", "closed": "closed loop"}.get(case.loop)
    conditions = f"conditions: {case.conditions}" if any(ask.when for ask in case.requests) else None
    line = "; ".join(text for text in (loop, conditions) if text is not None)
    return [line] if line else []


def _bound(record: Record | None) -> list[str]:
    """Return a line on what no run can beat, and why, where that is known."""
    if record is None:
        return []
    metrics = ("bound_s", "bound_read_bytes", "bound_read_s", "bound_compute_s")
    bound, size, reading, computing = (spread(record, metric) for metric in metrics)
    return [f"bound {_exact(bound)}: reading {_size(size)} takes {_exact(reading)}, computing {_exact(computing)}"]


def _outcome(record: Record) -> str:
    found = ", ".join(f"{count} {outcome}" if count > 1 else outcome for outcome, count in outcomes(record).items())
    most = {
        "dropped": max((len(m.dropped) for m in record.rounds), default=0),
        "late": max((m.deadline_misses or 0 for m in record.rounds), default=0),
    }
    requests = len(record.case.requests)
    return "; ".join([found, *(f"{count} of {requests} {what}" for what, count in most.items() if count)])


def _time(record: Record, _reference: Record | None, metric: str) -> str:
    return _seconds(spread(record, metric))


def _relative(record: Record, reference: Record | None, metric: str) -> str:
    relative = None if reference is None else ratio(record, reference, metric)
    return _NONE if relative is None else f"{relative:.2f}"


def _above(record: Record, _reference: Record | None, _metric: str) -> str:
    found = multiple(record, "makespan_s", "bound_s")
    return _NONE if found is None else f"{found:.2f}"


def _percentile(record: Record, _reference: Record | None, stat: str) -> str:
    """Return a percentile of the response times of all rounds, and its interval; or how many it needs."""
    runs = runs_of(record, Figure("response_s", stat))
    needed, found = lacking(runs, stat), estimate(runs, stat)
    if found is None or needed is not None:
        return _NONE if found is None else f"needs {needed}"
    between = "" if found.interval is None else f" ({found.interval.low:.2f}-{found.interval.high:.2f})"
    return f"{found.value:.2f}{between}"


def _bytes(record: Record, _reference: Record | None, metric: str) -> str:
    return _size(spread(record, metric))


def _swap(record: Record, _reference: Record | None, _metric: str) -> str:
    return "/".join(_size(spread(record, metric)) for metric in ("swap_in_bytes", "swap_out_bytes"))


def _number(record: Record, _reference: Record | None, metric: str) -> str:
    return _count(spread(record, metric))


def _factor(record: Record, _reference: Record | None, metric: str) -> str:
    found = spread(record, metric)
    return _NONE if found is None else f"{found.median:.1f}"


_Show = Callable[[Record, Record | None, str], str]

_COLUMNS: Mapping[str, tuple[str, _Show]] = {
    "makespan s": ("makespan_s", _time),
    "x REFERENCE": ("", _relative),
    _ABOVE: ("", _above),
    "peak": ("peak_bytes", _bytes),
    "swap in/out": ("", _swap),
    "faults": ("major_faults", _number),
}
"""Column -> the metric it shows (none: the group's main one, the first) and how."""

_RESPONSE_COLUMNS: Mapping[str, tuple[str, _Show]] = {
    "response s": ("response_mean_s", _time),
    "x REFERENCE": ("", _relative),
    "p50": ("p50", _percentile),
    "p90": ("p90", _percentile),
    "p99": ("p99", _percentile),
    "slowdown": ("worst_slowdown", _factor),
    "peak": ("peak_bytes", _bytes),
    "swap in/out": ("", _swap),
}


def _seconds(found: Spread | None) -> str:
    if found is None:
        return _NONE
    span = "" if found.least == found.greatest else f" ({found.least:.2f}-{found.greatest:.2f})"
    return f"{found.median:.2f}{span}"


def _exact(found: Spread | None) -> str:
    return _NONE if found is None else f"{found.median:.3f} s"


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
    strange = [
        f"far from the other rounds, and counted: {r.case.policy}, {r.case.workload} at {r.case.limit or 'no limit'}, "
        f"round {m.round}: {getattr(m, r.case.main_metric):.2f} s"
        for r in records
        for m in outliers(r, r.case.main_metric)
    ]
    everything = [measurement for record in records for measurement in record.rounds]
    shared = sorted({name for measurement in everything for name in measurement.machine_wide})
    notes = list(dict.fromkeys(notice for measurement in everything for notice in measurement.notices))
    if any((m.peak_bytes or 0) > r.case.limit_bytes for r in records if r.case.limit_bytes for m in r.rounds):
        notes.append("peak counts pages of shared libraries, which the limit mostly does not")
    if shared:
        notes.append(f"counted for the whole machine, as this kernel has no count by group: {', '.join(shared)}")
    if not all(measurement.interleaved for measurement in everything):
        notes.append("rounds were not interleaved: xdist hands tests out as it likes")
    return ["\n".join(lines) for lines in (failures, strange, notes) if lines]
