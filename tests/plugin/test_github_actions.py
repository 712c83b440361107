"""What a job of GitHub Actions is told: places in its repository, and the summary of its step."""

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
def test_place(monkeypatch: pytest.MonkeyPatch, workspace: str, file: str) -> None:
    """A test's file is named from the root of the job's repository, or from pytest's where that is outside of it."""
    monkeypatch.setenv("GITHUB_WORKSPACE", workspace)
    assert source_line(CASE, LINES, Path("/repo/projects/edge")) == SourceLine(file, 7)


def test_place_of_what_did_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that nobody ran, as of a case that is missing, has a file and no line."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    assert source_line(CASE, {}, Path("/repo")) == SourceLine("suites/test_a.py")


def test_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is added to what other steps of the job wrote; without one, or without a summary, nothing is."""
    path = tmp_path / "summary"
    path.write_text("above\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert (summarise("below\n"), summarise("")) == ("", "")
    assert path.read_text() == "above\nbelow\n"
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert summarise("more\n") == ""


def test_full_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary that would become larger than GitHub shows stays as it is, and a sentence says so."""
    path = tmp_path / "summary"
    path.write_bytes(bytes(SUMMARY_BYTES - 1))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    said = f"GITHUB_STEP_SUMMARY={path}: would have more than 1048576 bytes; --edge-md=FILE writes the same report"
    assert summarise("xx") == said
    assert path.stat().st_size == SUMMARY_BYTES - 1
