"""Records: the data that a session stores, compares and reports. A record is a case and its measurements."""

from collections.abc import Iterable
from typing import Self

import msgspec

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement

SCHEMA = 2


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A case and its measurements.

    `retried` are measurements of attempts after which the test ran again. They are kept, but nothing is computed of
    them.
    """

    case: Case
    rounds: tuple[Measurement, ...]
    retried: tuple[Measurement, ...] = ()

    @classmethod
    def of(cls, case: Case, measurements: Iterable[Measurement]) -> Self:
        """Return the record of all measurements of a case; only the last attempt of each round counts."""
        ordered = sorted(measurements, key=lambda measurement: measurement.round)
        last: dict[int, int] = {}
        for m in ordered:
            last[m.round] = max(last.get(m.round, 0), m.attempt)
        rounds = tuple(m for m in ordered if m.attempt == last[m.round])
        return cls(case, rounds, tuple(m for m in ordered if m.attempt < last[m.round]))


class Entry(msgspec.Struct, frozen=True):
    """One measurement and its case: the content of a run's own file, and of a message between processes of xdist."""

    case: Case
    measurement: Measurement
    file: str = ""


def collect(entries: Iterable[Entry]) -> tuple[Record, ...]:
    """Return the records of `entries` in order of first appearance, with rounds by number and then by arrival."""
    rounds: dict[Case, list[Measurement]] = {}
    for entry in entries:
        rounds.setdefault(entry.case, []).append(entry.measurement)
    return tuple(Record.of(case, own) for case, own in rounds.items())


def comparison_groups(records: Iterable[Record]) -> dict[Case, list[Record]]:
    """Return the records by comparison group: all that agree in everything but the policy."""
    grouped: dict[Case, list[Record]] = {}
    for record in records:
        grouped.setdefault(record.case.group, []).append(record)
    return grouped
