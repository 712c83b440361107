"""Files of other users and programs are read only if they are regular, and up to a limit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_edgeload.base import files


@pytest.mark.parametrize("path", ["no\0path", "no\udcffpath\0", "x" * 5000])
def test_impossible_path_does_not_exist(path: str) -> None:
    """A text that cannot be a path is a file that does not exist."""
    with pytest.raises(OSError, match=r"No such file|File name too long"):
        files.read(Path(path), 10)


def test_file_at_the_limit_is_read(tmp_path: Path) -> None:
    """A file of exactly the limit is read, one of a byte more is not."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1024)
    assert files.read(path, 1024) == b"x" * 1024
    path.write_bytes(b"x" * 1025)
    with pytest.raises(OSError, match=r"too large: 1.0K, and at most 1K"):
        files.read(path, 1024)


def test_device_and_fifo_are_refused(tmp_path: Path) -> None:
    """A device and a FIFO are refused before a read could block or never end."""
    os.mkfifo(tmp_path / "fifo")
    for path in (Path("/dev/zero"), tmp_path / "fifo"):
        with pytest.raises(OSError, match="not a regular file"):
            files.read(path, 1 << 20)


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_write_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path, Path], None]
) -> None:
    """A write never follows a link of another user, at the file's name or at its temporary one."""
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


def test_file_keeps_its_mode(tmp_path: Path) -> None:
    """A new file has mode 0644 less the umask; an existing one keeps its mode."""
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
