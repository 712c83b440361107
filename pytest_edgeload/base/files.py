"""Files that other programs may change: read only if regular and not too large, written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError, Words
from pytest_edgeload.base.units import format_size

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a full disk and of a user's full quota."""

_UNNAMED_REFUSED = frozenset({errno.EOPNOTSUPP, errno.EISDIR})
"""The errors of file systems and kernels that know no files without a name."""

OURS = 0o644
"""The mode of files of the session and the store: workers may read them, and no other user may write them."""


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises OSError with the file's name; also for a folder, a device, or a FIFO, which might block forever.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # the name contains NUL or half a character, so no file can have it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    # Without O_NONBLOCK this would wait if the file has just become a FIFO.
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC))


def read(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file. Raises OSError, as `open_file`, and for a file of more than `max_bytes`."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        text = b"" if size > max_bytes else file.read(max_bytes + 1)  # it may grow, or not report its size
    if max(size, len(text)) > max_bytes:
        size_bytes = format_size(max(size, len(text)))
        raise OSError(errno.EFBIG, f"too large: {size_bytes}, and at most {format_size(max_bytes)}", str(path))
    return text


def create(path: Path, mode: int | None = None) -> BufferedWriter:
    """Create a file and open it for writing. Its mode is `mode`, or else 0644 less the umask.

    Raises OSError, also if a file or a link of that name exists.
    """
    file = open(path, "xb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o644))  # noqa: SIM115
    if mode is not None:
        os.fchmod(file.fileno(), mode)
    return file


def write(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write a whole file; see `replacing`. Raises OSError with the file's name."""
    with naming(path), replacing(path, mode) as file:
        file.write(data)


def try_beside(path: Path, data: bytes = b"") -> None:
    """Write a file beside `path` and remove it, so that a folder that cannot be written is found before the work.

    `path` stays as it is. Raises OSError.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.tried")
    try:
        write(part, data)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BufferedWriter]:
    """Yield a new file, which replaces `path` when the block ends.

    If the block raises an exception or the process is killed, `path` stays as it is and no file is left, except on file
    systems that know no files without a name. The mode is `mode`, or else that of the existing file, or else as in
    `create`. Raises OSError with the file's name, but without it if writing fails.
    """
    # The writer may be root, and the folder may be another user's, who could put a link at a name known in advance.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with naming(path):
            file, is_named = _create_unnamed(part, _mode(path) if mode is None else mode)
        with file:
            yield file
            with naming(path):
                file.flush()
                if not is_named:
                    # Python follows the link, as linkat(2) shows, only if it is given a folder, which is not used
                    os.link(f"/proc/self/fd/{file.fileno()}", part, src_dir_fd=file.fileno(), follow_symlinks=True)
                part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _create_unnamed(part: Path, mode: int | None) -> tuple[BufferedWriter, bool]:
    """Create a file without a name in the folder of `part`, or else with this name; return which. Raises OSError."""
    flags = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
    try:
        file = open(part.parent, "wb", opener=lambda folder, _: os.open(folder, flags, 0o644))  # noqa: SIM115
    except OSError as error:
        if error.errno not in _UNNAMED_REFUSED:
            raise
        return create(part, mode), True
    if mode is not None:
        os.fchmod(file.fileno(), mode)
    return file, False


def _mode(path: Path) -> int | None:
    with suppress(OSError):
        mode = path.lstat().st_mode
        return mode & 0o777 if stat.S_ISREG(mode) else None
    return None


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, in which no other user may write under any umask.

    Raises OSError, also if `folder` exists and is not a folder.
    """
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o755, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


@contextmanager
def named_by(setting: Setting) -> Iterator[None]:
    """Turn an OSError of writing the file that `setting` names into Unsupported."""
    try:
        yield
    except OSError as error:
        raise Unsupported(setting, error.strerror or "cannot be written", "name a file elsewhere") from error


def cache_hint(error: OSError) -> Words:
    """Return the hint of an error of writing to the cache folder."""
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
    """Add the file's name to each OSError; that of a full disk has none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
