"""Files as they come: read where they are files at all, and not endless; written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from pytest_edgeload.units import format_size

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the kernel says of a disk, or of a user's share of it, that is full."""


def opened(path: Path) -> BufferedReader:
    """Open a file to be read.

    Raises OSError, which names it; also for a folder, a device or a FIFO, whose other end may never come.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # of what no file can be called: it holds NUL or half a character
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    # Should it have become a FIFO just now, that would wait here.
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC))


def read(path: Path, most_bytes: int) -> bytes:
    """Return what a file holds. Raises OSError, as `opened`, and for a file of more than `most_bytes`."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        text = b"" if size > most_bytes else file.read(most_bytes + 1)  # it may grow, or not tell its size
    if max(size, len(text)) > most_bytes:
        found = format_size(max(size, len(text)))
        raise OSError(errno.EFBIG, f"it has {found}, and such a file at most {format_size(most_bytes)}", str(path))
    return text


def write(path: Path, data: bytes) -> None:
    """Write a file whole; until then, and where that fails, what was there stays. Raises OSError, which names it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with naming(path):
            part.write_bytes(data)
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let each OSError name this file: where a disk is full, none does."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
