"""Files that others give are read where they are files, up to a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_edgeload import files


@pytest.mark.parametrize("path", ["no\0path", "no\udcffpath\0", "x" * 5000])
def test_no_path(path: str) -> None:
    """What can be no path is a file that is not there."""
    with pytest.raises(OSError, match=r"No such file|File name too long"):
        files.read(Path(path), 10)


def test_as_much_as_may_be(tmp_path: Path) -> None:
    """A file of just so many bytes is read, one of one more is not."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1024)
    assert files.read(path, 1024) == b"x" * 1024
    path.write_bytes(b"x" * 1025)
    with pytest.raises(OSError, match=r"it has 1.0K, and such a file at most 1K"):
        files.read(path, 1024)


def test_no_file(tmp_path: Path) -> None:
    """A device and a FIFO are refused before anybody waits for their other end or reads them for ever."""
    os.mkfifo(tmp_path / "fifo")
    for path in (Path("/dev/zero"), tmp_path / "fifo"):
        with pytest.raises(OSError, match="it is no regular file"):
            files.read(path, 1 << 20)
