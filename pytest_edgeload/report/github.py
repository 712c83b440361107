"""Annotations of GitHub Actions: workflow commands, each a line that its runner looks for in what a job prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.comparison import label
from pytest_edgeload.results.gate import Finding
from pytest_edgeload.results.record import Case

SUMMARY_BYTES = 1 << 20
"""What the summary of a step may have; of more GitHub shows nothing."""


class Place(NamedTuple):
    """Where a test stands: its file, from the root of the repository, and its line from 1 on, where it is known."""

    file: str
    line: int | None = None


def commands(failing: Iterable[Finding], improved: Iterable[Finding], place: Callable[[Case], Place]) -> list[str]:
    """Return an error for each finding that fails, and a notice for each that became better."""
    errors = [_command("error", finding, place(finding.case)) for finding in failing]
    return errors + [_command("notice", finding, place(finding.case)) for finding in improved]


def _command(kind: str, finding: Finding, place: Place) -> str:
    title = f"{finding.verdict}: {label(finding.case)}"
    properties = {"file": place.file, "line": place.line, "title": title}
    words = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value is not None)
    return f"::{kind} {words}::{_data(str(finding))}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
