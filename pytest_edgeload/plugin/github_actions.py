"""What a job of GitHub Actions is told: where tests stand in its repository, and the summary of its step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.plugin.files import append
from pytest_edgeload.report.github import SUMMARY_BYTES, SourceLine
from pytest_edgeload.results.record import Case

_SUMMARY = "GITHUB_STEP_SUMMARY"


def place_of(case: Case, lines: Mapping[str, int], root: Path) -> SourceLine:
    """Return where the test of `case` stands; `lines` are by id without parameters, `root` is pytest's."""
    function = case.test.partition("[")[0]
    file, workspace = root / function.partition("::")[0], Path(os.environ.get("GITHUB_WORKSPACE") or root)
    shown = file.relative_to(workspace if file.is_relative_to(workspace) else root)
    return SourceLine(shown.as_posix(), lines.get(function))


def summarise(markdown: str) -> str:
    """Add the report to the summary of the step; return a sentence where that cannot be."""
    path = os.environ.get(_SUMMARY)
    if not (path and markdown):
        return ""
    try:
        append(Path(path), markdown, SUMMARY_BYTES)
    except OSError as error:
        return f"{_SUMMARY}={path}: {error.strerror}; --edge-md=FILE writes the same"
    return ""
