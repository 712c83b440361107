"""Merging of files of records: more rounds, more cases, more machines. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document, Machine
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record


class Part(NamedTuple):
    """A document to be merged and a label for its machine; without a label the machine's key is used."""

    document: Document
    label: str = ""

    @property
    def device(self) -> str:
        """The name of the machine if several are distinguished."""
        return self.label or self.document.machine.key


_Known = dict[tuple[float, float], Measurement]
"""Measurements by their start and end."""


def merge(parts: Sequence[Part]) -> Document:
    """Return one document with all records of `parts`, which must not be empty.

    Equal cases from one kind of machine become one record. The rounds of each file are numbered after those of the
    files before it, so that ratios pair rounds of the same session, and a measurement that is in two files counts
    once. If there is a label or machines differ, the device of each case is its machine.
    """
    if len(parts) == 1 and not parts[0].label:
        return parts[0].document
    are_distinct = any(part.label for part in parts) or len({part.document.machine.key for part in parts}) > 1
    merged: dict[Case, tuple[_Known, _Known]] = {}
    first = 0
    for part in parts:
        for record in part.document.records:
            case = _on(part, record.case) if are_distinct else record.case
            for known, own in zip(merged.setdefault(case, ({}, {})), (record.rounds, record.retried), strict=True):
                _take(known, own, first)
        first += 1 + max((m.round for record in part.document.records for m in record.rounds), default=0)
    records = tuple(Record(case, *(tuple(known.values()) for known in both)) for case, both in merged.items())
    return _described(parts, records)


def _take(known: _Known, rounds: Iterable[Measurement], first: int) -> None:
    """Add `rounds`, numbered from `first`, to the known ones; of two equal measurements keep the one with spans."""
    for m in rounds:
        key = (m.started, m.ended) if m.started else (-1.0 - first, float(len(known)))
        old = known.get(key)
        if old is None or (m.tasks and not old.tasks):
            known[key] = msgspec.structs.replace(m, round=first + m.round if old is None else old.round)


def _on(part: Part, case: Case) -> Case:
    device = part.device if case.device is None else f"{part.device} {case.device}"
    return msgspec.structs.replace(case, device=device)


def _described(parts: Sequence[Part], records: tuple[Record, ...]) -> Document:
    """Return a document of `records` with the origin that all parts agree on and the latest time."""
    documents = [part.document for part in parts]
    commits = {document.commit for document in documents}
    return Document(
        schema=documents[0].schema,
        created=max(document.created for document in documents),
        machine=common_machine([document.machine for document in documents]),
        settings=_agreed([document.settings for document in documents]),
        records=records,
        commit=commits.pop() if len(commits) == 1 else None,
        versions=_agreed([document.versions for document in documents]),
        project=_common(document.project for document in documents),
        command=_common(document.command for document in documents),
        hosts={name: one for document in documents for name, one in document.hosts.items()},
    )


def common_machine(machines: Sequence[Machine]) -> Machine:
    """Return one description of all machines: their different texts, and the minimum of their numbers."""

    def words(texts: Iterable[str]) -> str:
        return " | ".join(dict.fromkeys(texts))

    return Machine(
        processor=words(machine.processor for machine in machines),
        processors=min(machine.processors for machine in machines),
        memory_bytes=min(machine.memory_bytes for machine in machines),
        kernel=words(machine.kernel for machine in machines),
        python=words(machine.python for machine in machines),
        torch=words(machine.torch for machine in machines),
    )


def _common(texts: Iterable[str]) -> str:
    """Return the text that all parts have, or an empty text."""
    different = {*texts}
    return different.pop() if len(different) == 1 else ""


def _agreed(texts: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the entries that all have in common."""
    return {key: text for key, text in texts[0].items() if all(other.get(key) == text for other in texts)}
