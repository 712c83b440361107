"""The files of a session: what is there before stays until there is something to put in its place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.plugin.files import append, check, write
from pytest_edgeload.plugin.settings import File
from pytest_edgeload.report import FORMATS
from tests.report.documents import document, record, view

NOTHING = document()
SOMETHING = document(record("bulk", {"makespan_s": 1.0}))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(tmp_path: Path, name: str) -> None:
    """Every format can be made of nothing and of something, and then stands in its file alone."""
    file = File("export", name, tmp_path / "out")
    check(file, NOTHING)
    assert list(tmp_path.iterdir()) == []
    write(file, SOMETHING, (), view())
    assert list(tmp_path.iterdir()) == [file.path]
    assert file.path.read_text(encoding="utf-8").splitlines() == FORMATS[name](SOMETHING, (), view()).splitlines()


def test_check_keeps(tmp_path: Path) -> None:
    """What an earlier session wrote is there until this one ends."""
    file = File("csv", "csv", tmp_path / "out.csv")
    file.path.write_text("earlier")
    check(file, NOTHING)
    assert file.path.read_text() == "earlier"


def test_unknown_format(tmp_path: Path) -> None:
    """A format that nobody has is refused, with those there are."""
    with pytest.raises(UsageError, match=r"^format xls: unknown; choose from terminal, json, .*"):
        check(File("export", "xls", tmp_path / "out"), NOTHING)


@pytest.mark.parametrize("act", [check, lambda file, made: write(file, made, (), view())], ids=["check", "write"])
def test_unwritable(tmp_path: Path, act: object) -> None:
    """What cannot be written is an OSError, and leaves nothing beside the file."""
    folder = tmp_path / "gone"
    assert callable(act)
    with pytest.raises(OSError, match="No such file"):
        act(File("csv", "csv", folder / "out.csv"), SOMETHING)
    assert not folder.exists()


def test_strange_text(tmp_path: Path) -> None:
    """Text that no encoding has, as a file's name may be, stops nothing."""
    odd = document(record(os.fsdecode(b"\xff"), {"makespan_s": 1.0}))
    file = File("csv", "csv", tmp_path / "out.csv")
    write(file, odd, (), view())
    assert "\\udcff" in file.path.read_text(encoding="utf-8")


def test_append(tmp_path: Path) -> None:
    """Text is added to what is there as long as there is room, and else nothing of it is."""
    path = tmp_path / "summary"
    path.write_text("above\n")
    append(path, "ü\n", 9)
    assert path.read_text(encoding="utf-8") == "above\nü\n"
    with pytest.raises(OSError, match="more than 9 bytes") as caught:
        append(path, "x", 9)
    assert caught.value.errno == errno.EFBIG
    assert path.read_text(encoding="utf-8") == "above\nü\n"
