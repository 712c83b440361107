"""Files that others give are read where they are files, up to a limit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_edgeload.base import files


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
    with pytest.raises(OSError, match=r"too large: 1.0K, and at most 1K"):
        files.read(path, 1024)


def test_no_file(tmp_path: Path) -> None:
    """A device and a FIFO are refused before anybody waits for their other end or reads them for ever."""
    os.mkfifo(tmp_path / "fifo")
    for path in (Path("/dev/zero"), tmp_path / "fifo"):
        with pytest.raises(OSError, match="not a regular file"):
            files.read(path, 1 << 20)


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_what_others_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path, Path], None]
) -> None:
    """What is written never goes through a link of others, at the file's own name or at that it has until then."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.write_text("kept")
    plant(ours, theirs)
    files.write(ours, b"new")
    assert (ours.read_text(), ours.is_symlink(), theirs.read_text()) == ("new", False, "kept")
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    plant(tmp_path / ".known.part", theirs)
    with pytest.raises(FileExistsError):
        files.write(ours, b"newer")
    assert (ours.read_text(), theirs.read_text()) == ("new", "kept")


def test_modes(tmp_path: Path) -> None:
    """A new file is the user's to open up by the umask, but not to write for others; an old one keeps its mode."""
    modes = []
    for umask in (0, 0o077):
        was = os.umask(umask)
        try:
            for name, mode in (("theirs", None), ("ours", files.OURS)):
                (tmp_path / name).unlink(missing_ok=True)
                files.write(tmp_path / name, b"", mode)
                modes.append((tmp_path / name).stat().st_mode & 0o7777)
        finally:
            os.umask(was)
    assert modes == [0o644, 0o644, 0o600, 0o644]
    (tmp_path / "theirs").chmod(0o664)
    files.write(tmp_path / "theirs", b"")
    assert (tmp_path / "theirs").stat().st_mode & 0o7777 == 0o664
