"""Annotations of GitHub Actions: workflow commands, which are lines in the output of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.comparison import label
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.finding import Finding

SUMMARY_BYTES = 1 << 20
"""The maximum size of a step's summary; GitHub shows nothing of a larger one."""


class SourceLine(NamedTuple):
    """The position of a test: its file relative to the root of the repository, and its line from 1, if known."""

    file: str
    line: int | None = None


def commands(
    failing: Iterable[Finding], improved: Iterable[Finding], source_of: Callable[[Case], SourceLine]
) -> list[str]:
    """Return an error for each finding that fails, and a notice for each improvement."""
    errors = [_command("error", finding, source_of(finding.case)) for finding in failing]
    return errors + [_command("notice", finding, source_of(finding.case)) for finding in improved]


def _command(kind: str, finding: Finding, source: SourceLine) -> str:
    title = f"{finding.verdict}: {label(finding.case)}"
    properties = {"file": source.file, "line": source.line, "title": title}
    words = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value is not None)
    return f"::{kind} {words}::{_data(str(finding))}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
