"""The report files of a session: an earlier file stays until its replacement is complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.files import check, write
from pytest_edgeload.results.finding import Judgement
from tests.report.documents import document, record, view

NOTHING = document()
SOMETHING = document(record("bulk", {"makespan_s": 1.0}))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_one_file(tmp_path: Path, name: str) -> None:
    """Every format makes a report of an empty and of a full document, and writes its file only."""
    path = tmp_path / "out"
    check(name, path, NOTHING)
    assert list(tmp_path.iterdir()) == []
    write(name, path, SOMETHING, Judgement(), view())
    assert list(tmp_path.iterdir()) == [path]
    expected = FORMATS[name](SOMETHING, Judgement(), view())
    assert path.read_text(encoding="utf-8").splitlines() == expected.splitlines()


def test_check_keeps_the_earlier_file(tmp_path: Path) -> None:
    """The file of an earlier session is unchanged until this one ends."""
    path = tmp_path / "out.csv"
    path.write_text("earlier")
    check("csv", path, NOTHING)
    assert path.read_text() == "earlier"


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    """An unknown format is refused, with a list of the formats."""
    with pytest.raises(UsageError, match=r"^format xls: unknown; choose from terminal, json, .*"):
        check("xls", tmp_path / "out", NOTHING)


@pytest.mark.parametrize(
    "act", [check, lambda kind, path, made: write(kind, path, made, Judgement(), view())], ids=["check", "write"]
)
def test_unwritable_file_is_an_os_error(tmp_path: Path, act: object) -> None:
    """A file that cannot be written is an OSError, and nothing is left beside it."""
    folder = tmp_path / "gone"
    assert callable(act)
    with pytest.raises(OSError, match="No such file"):
        act("csv", folder / "out.csv", SOMETHING)
    assert not folder.exists()


def test_text_without_an_encoding_is_written(tmp_path: Path) -> None:
    """Text that no encoding can represent, such as the name of a file, is written escaped."""
    odd = document(record(os.fsdecode(b"\xff"), {"makespan_s": 1.0}))
    path = tmp_path / "out.csv"
    write("csv", path, odd, Judgement(), view())
    assert "\\udcff" in path.read_text(encoding="utf-8")
