"""Files as they come: read where they are files at all, and not endless; written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path

from pytest_edgeload.base.errors import Setting, UsageError, Words
from pytest_edgeload.base.units import format_size

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the kernel says of a disk, or of a user's share of it, that is full."""

OURS = 0o644
"""The mode of a file of the session or of the store: workers may read it and nobody else write, whatever the umask."""


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


def new(path: Path, mode: int | None = None) -> BufferedWriter:
    """Make a file, and open it to be written, of mode 0644 less the umask, if not of another `mode`.

    Raises OSError, also for whatever stands there, were it a link.
    """
    file = open(path, "xb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o644))  # noqa: SIM115
    if mode is not None:
        os.fchmod(file.fileno(), mode)
    return file


def write(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write a file whole; until then, and where that fails, what was there stays. Raises OSError, which names it.

    It is of this `mode`, else of that of the file that was there, else as `new` makes it.
    """
    # What writes here may be root, and others in this folder: a name that they know could be a link of theirs.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with naming(path):
            with new(part, _mode(path) if mode is None else mode) as file:
                file.write(data)
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    with suppress(OSError):
        found = path.lstat().st_mode
        return found & 0o777 if stat.S_ISREG(found) else None
    return None


def make(folder: Path) -> None:
    """Make a folder, and those it is in, where others may write nothing, whatever the umask. Raises OSError."""
    for place in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        place.mkdir(mode=0o755, exist_ok=True)


def cache_hint(error: OSError) -> Words:
    """Return the way out if the cache folder cannot be written."""
    other = ("name another folder with ", Setting("cache-dir"))
    return ("free some space, or ", *other) if error.errno in FULL else other


@contextmanager
def noting(folder: Path) -> Iterator[None]:
    """Turn an OSError of writing to `folder`, a part of the cache folder, into a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(str(folder), error.strerror or "cannot be written", cache_hint(error)) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let each OSError name this file: where a disk is full, none does."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
