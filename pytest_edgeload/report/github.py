"""Annotations of GitHub Actions: workflow commands, which are lines in the output of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.comparison import label
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.finding import Finding, Judgement
from pytest_edgeload.results.gate import Gate

SUMMARY_BYTES = 1 << 20
"""The maximum size of a step's summary; GitHub shows nothing of a larger one."""


class SourceLine(NamedTuple):
    """The position of a test: its file relative to the root of the repository, and its line from 1, if known."""

    file: str
    line: int | None = None


def commands(judgement: Judgement, gate: Gate, source_of: Callable[[Case], SourceLine]) -> list[str]:
    """Return an error for each finding that fails, a notice for each improvement, and a line for each idle threshold.

    An idle threshold is an error if the gate is strict, and otherwise a warning.
    """
    kinds = {"error": gate.fails, "notice": lambda finding: finding.verdict == "improved"}
    lines = [
        _finding(kind, finding, source_of(finding.case))
        for kind, is_shown in kinds.items()
        for finding in filter(is_shown, judgement.findings)
    ]
    kind = "error" if gate.is_strict else "warning"
    return lines + [_command(kind, {"title": "edgeload"}, sentence) for sentence in judgement.idle]


def _finding(kind: str, finding: Finding, source: SourceLine) -> str:
    line = {} if source.line is None else {"line": str(source.line)}
    title = f"{finding.verdict}: {label(finding.case)}"
    return _command(kind, {"file": source.file, **line, "title": title}, str(finding))


def _command(kind: str, properties: Mapping[str, str], text: str) -> str:
    words = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {words}::{_data(text)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
