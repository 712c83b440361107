"""Output for a job of GitHub Actions: the source line of each finding, and the summary of its step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.plugin.files import append
from pytest_edgeload.plugin.items import function_of
from pytest_edgeload.report.github import SUMMARY_BYTES, SourceLine
from pytest_edgeload.results.case import Case

_SUMMARY = "GITHUB_STEP_SUMMARY"


def source_line(case: Case, lines: Mapping[str, int], root: Path) -> SourceLine:
    """Return the file and line of a case's test in the repository.

    `lines` has the line numbers by id without parameters, and `root` is pytest's rootdir.
    """
    function = function_of(case.test)
    file, workspace = root / function.partition("::")[0], Path(os.environ.get("GITHUB_WORKSPACE") or root)
    shown = file.relative_to(workspace if file.is_relative_to(workspace) else root)
    return SourceLine(shown.as_posix(), lines.get(function))


def summarise(markdown: str) -> str:
    """Append the report to the summary of the step. Return a sentence if that fails, and otherwise nothing."""
    path = os.environ.get(_SUMMARY)
    if not (path and markdown):
        return ""
    try:
        append(Path(path), markdown, SUMMARY_BYTES)
    except OSError as error:
        return f"{_SUMMARY}={path}: {error.strerror}; --edge-md=FILE writes the same report"
    return ""
