"""The baseline that a session is compared with, found before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.text import printable
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document, Machine
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.threshold import Threshold

NO_HOSTS: Mapping[str, Machine] = MappingProxyType({})
"""The hosts of a session whose cases do not have the names of hosts."""

NEWEST = "newest"
"""The name of the newest baseline."""


@dataclass(frozen=True)
class BaselineComparison:
    """The gate with the baseline, and a sentence about the baseline (empty without a comparison)."""

    gate: Gate = field(default_factory=Gate)
    sentence: str = ""


def find(
    storage: Path,
    name: str,
    thresholds: Iterable[Threshold],
    machine: Machine,
    hosts: Mapping[str, Machine] = NO_HOSTS,
    *,
    is_strict: bool,
) -> BaselineComparison:
    """Return the comparison of records of `machine` with a baseline, given by number, name, file or as `newest`.

    If cases have the names of `hosts`, each host is compared with itself. Raises UsageError.
    """
    path = baseline.newest_of(storage, hosts) if name == NEWEST and hosts else None
    path = path or baseline.find(storage, "" if name == NEWEST else name, machine)
    if path is None and is_strict:
        reason = (f"no baseline in {storage}, and ", Setting("strict"), " is given")
        raise UsageError(reason, hint="save one first")
    document = None if path is None else baseline.load(path)
    if document is None:
        return BaselineComparison(
            Gate(tuple(thresholds), is_strict=is_strict), f"no baseline in {storage}, so nothing is compared"
        )
    gate = Gate(tuple(thresholds), document, strangers(document, machine, hosts), is_strict)
    return BaselineComparison(gate, printable(f"compared with {path}") + _differences(gate, document, hosts))


def strangers(before: Document, machine: Machine, hosts: Mapping[str, Machine]) -> frozenset[str | None]:
    """Return the hosts that are another kind of machine than they were in `before`; None is `machine`."""
    others = {name for name, one in hosts.items() if name in before.hosts and one.key != before.hosts[name].key}
    return frozenset(others if before.machine.key == machine.key else {None, *others})


def _differences(gate: Gate, before: Document, hosts: Mapping[str, Machine]) -> str:
    """Return words for the hosts that the baseline does not have, and for those that are other machines now."""
    if not hosts:
        return ", of another machine: only ratios, bytes and counts" if gate.strangers else ""
    measured = {record.case.host for record in before.records}
    absent = [name for name in hosts if name not in measured]
    others = [name for name in hosts if name in gate.strangers and name in measured]
    words = f", without host {', '.join(absent)}" if absent else ""
    return words + (f", of another machine on {', '.join(others)}: only ratios, bytes and counts" if others else "")
