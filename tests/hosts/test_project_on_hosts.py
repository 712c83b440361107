"""Paths of the project in pytest's arguments, which are other ones on a host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("execnet")

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.hosts.project import relocated, travels


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("/me/suite", "/h"),
        ("/me/suite/", "/h/"),
        ("/me/suite/test_a.py::test_b", "/h/test_a.py::test_b"),
        ("--rootdir=/me/suite", "--rootdir=/h"),
        ("-c/me/suite/pytest.ini", "-c/h/pytest.ini"),
        ("--ignore=/me/suite/a:/me/suite", "--ignore=/h/a:/h"),
        ("/me/suite2/test_a.py", "/me/suite2/test_a.py"),
        ("/me/suite.old", "/me/suite.old"),
        ("/mnt/me/suite/test_a.py", "/mnt/me/suite/test_a.py"),
        ("../me/suite", "../me/suite"),
    ],
)
def test_only_whole_paths_of_the_project_are_relocated(word: str, expected: str) -> None:
    """The project's folder and paths below it change; a folder whose name begins or ends alike does not."""
    assert relocated(word, "/me/suite", "/h") == expected


def test_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """Execnet cannot send such a name, so the file is named; a hidden one does not travel anyway."""
    for name in (b"\xff.txt", b".\xff"):
        (tmp_path / os.fsdecode(name)).touch()
    assert not travels(os.fsdecode(os.fsencode(tmp_path) + b"/.\xff"))
    with pytest.raises(UsageError, match=r"/\\udcff.txt: its name is not UTF-8, so no host can get it; rename it$"):
        travels(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
