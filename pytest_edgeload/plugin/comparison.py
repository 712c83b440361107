"""The baseline that a session is compared with, found before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.text import printable
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import machine
from pytest_edgeload.results.gate import Gate


@dataclass(frozen=True)
class Comparison:
    """The gate with the baseline, and a sentence about the baseline (empty without a comparison)."""

    gate: Gate = field(default_factory=Gate)
    sentence: str = ""


def find(settings: Settings, given: Mapping[str, Given]) -> Comparison:
    """Return the comparison that the options ask for. Raises UsageError."""
    if not settings.compare:
        return Comparison(Gate(settings.compare_fail, None, is_alike=True, is_strict=settings.strict))
    subject = source("compare" if "compare" in given else "compare-fail", given)
    wanted = "" if settings.compare == Settings.compare.bare else settings.compare
    try:
        path = baseline.find(settings.storage, wanted, machine())
        document = None if path is None else baseline.load(path)
    except UsageError as error:
        raise error.within(subject) from None
    if path is None and settings.strict:
        reason = (f"no baseline in {settings.storage}, and ", Setting("strict"), " is given")
        raise UsageError(subject, reason, "save one first")
    is_alike = document is None or document.machine.key == machine().key
    gate = Gate(settings.compare_fail, document, is_alike, settings.strict)
    if path is None:
        return Comparison(gate, f"no baseline in {settings.storage}, so nothing is compared")
    other = "" if is_alike else ", of another machine: only ratios, bytes and counts"
    return Comparison(gate, printable(f"compared with {path}") + other)
