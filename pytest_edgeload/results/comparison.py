"""The baseline that a session is compared with, found before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.text import printable
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Machine
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.threshold import Threshold

NEWEST = "newest"
"""The name of the newest baseline."""


@dataclass(frozen=True)
class BaselineComparison:
    """The gate with the baseline, and a sentence about the baseline (empty without a comparison)."""

    gate: Gate = field(default_factory=Gate)
    sentence: str = ""


def find(
    storage: Path, name: str, thresholds: Iterable[Threshold], machine: Machine, *, is_strict: bool
) -> BaselineComparison:
    """Return the comparison of records of `machine` with a baseline, given by number, name, file or as `newest`.

    Raises UsageError.
    """
    path = baseline.find(storage, "" if name == NEWEST else name, machine)
    if path is None and is_strict:
        reason = (f"no baseline in {storage}, and ", Setting("strict"), " is given")
        raise UsageError(reason, hint="save one first")
    document = None if path is None else baseline.load(path)
    is_alike = document is None or document.machine.key == machine.key
    gate = Gate(tuple(thresholds), document, is_alike, is_strict)
    if path is None:
        return BaselineComparison(gate, f"no baseline in {storage}, so nothing is compared")
    other = "" if is_alike else ", of another machine: only ratios, bytes and counts"
    return BaselineComparison(gate, printable(f"compared with {path}") + other)
