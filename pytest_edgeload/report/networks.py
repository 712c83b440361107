"""The table of the networks that answered requests: response times, late and dropped requests by policy. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.columns import NONE
from pytest_edgeload.report.digits import number
from pytest_edgeload.report.grid import Cell, Grid
from pytest_edgeload.report.tables import Table, labels_of
from pytest_edgeload.results.measurement import ServiceStats
from pytest_edgeload.results.record import Record

Show = Callable[[Record, str], str]


def grid(table: Table) -> Grid | None:
    """Return a row for each network and policy; None if all requests arrive at once.

    Times are medians over the rounds that were ok; of late and dropped requests, the most in one of them counts. A
    column without values is left out.
    """
    records = [row.record for row in table.rows]
    networks = dict.fromkeys(name for record in records for m in record.rounds for name in m.service)
    if not networks or all(record.case.loop == "once" for record in records):
        return None
    labels = labels_of(table.rows)
    figures = {title: show for title, show in _FIGURES.items() if _has_values(show, records, list(networks))}
    rows = tuple(
        tuple(
            Cell(printable(text))
            for text in (
                name,
                *(label.show(row) for label in labels),
                *(show(row.record, name) for show in figures.values()),
            )
        )
        for name in networks
        for row in table.rows
    )
    headers = ("network", *(label.title for label in labels), *figures)
    names = 1 + len(labels)
    return Grid(headers, rows, frozenset(range(names)), frozenset(range(names + 1)))


def _has_values(show: Show, records: list[Record], networks: list[str]) -> bool:
    return any(show(record, name) != NONE for record in records for name in networks)


def _services(record: Record, network: str) -> Iterator[ServiceStats]:
    return (m.service[network] for m in record.rounds if m.outcome == "ok" and network in m.service)


def _mean(record: Record, network: str) -> str:
    return _median(service.response_mean_s for service in _services(record, network))


def _p90(record: Record, network: str) -> str:
    return _median(service.response_p90_s for service in _services(record, network))


def _late(record: Record, network: str) -> str:
    return _most(service.late for service in _services(record, network))


def _dropped(record: Record, network: str) -> str:
    return _most(service.dropped for service in _services(record, network))


def _median(times: Iterator[float | None]) -> str:
    known = [time for time in times if time is not None]
    return number(statistics.median(known), "s") if known else NONE


def _most(counts: Iterator[int | None]) -> str:
    known = [count for count in counts if count is not None]
    return str(max(known)) if known else NONE


_FIGURES: dict[str, Show] = {"mean response s": _mean, "p90 s": _p90, "late": _late, "dropped": _dropped}
