"""The output for a job of GitHub Actions: source lines in its repository, and the summary of its step."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.plugin.github_actions import source_line, summarise
from pytest_edgeload.report.github import SUMMARY_BYTES, SourceLine
from tests.report.documents import record

CASE = record(test="suites/test_a.py::Tests::test_a[8]").case
LINES = {"suites/test_a.py::Tests::test_a": 7}


@pytest.mark.parametrize(
    ("workspace", "file"),
    [
        ("/repo", "projects/edge/suites/test_a.py"),
        ("/repo/projects/edge", "suites/test_a.py"),
        ("/elsewhere", "suites/test_a.py"),
        ("", "suites/test_a.py"),
    ],
)
def test_file_is_relative_to_the_workspace(monkeypatch: pytest.MonkeyPatch, workspace: str, file: str) -> None:
    """The file of a test is relative to the job's repository, or to rootdir if that is outside of it."""
    monkeypatch.setenv("GITHUB_WORKSPACE", workspace)
    assert source_line(CASE, LINES, Path("/repo/projects/edge")) == SourceLine(file, 7)


def test_missing_case_has_a_file_without_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that did not run, as of a missing case, has a file and no line."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    assert source_line(CASE, {}, Path("/repo")) == SourceLine("suites/test_a.py")


def test_report_is_appended_to_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is appended to the summary of earlier steps; without a report or a summary, nothing happens."""
    path = tmp_path / "summary"
    path.write_text("above\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert (summarise("below\n"), summarise("")) == ("", "")
    assert path.read_text() == "above\nbelow\n"
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert summarise("more\n") == ""


def test_full_summary_is_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary that would exceed GitHub's maximum is unchanged, and a sentence says so."""
    path = tmp_path / "summary"
    path.write_bytes(bytes(SUMMARY_BYTES - 1))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    said = f"GITHUB_STEP_SUMMARY={path}: would have more than 1048576 bytes; --edge-md=FILE writes the same report"
    assert summarise("xx") == said
    assert path.stat().st_size == SUMMARY_BYTES - 1
