"""Locks between the processes of one machine. The kernel releases a lock when its holder dies, so none is stale."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.text import printable

QUIET_S = 1.0
"""How long a process waits for a lock before it says so."""

_OWNER, _INODE = 4, 5  # words of a line of /proc/locks; see proc_locks(5)


def silent(_line: str) -> None:
    """Ignore a line."""


def once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that passes its first line on to `say`, and ignores the others."""
    lines: list[str] = []

    def first(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            say(line)

    return first


@contextmanager
def hold(path: Path, on_wait: Callable[[str], None] = silent, quiet_s: float = QUIET_S) -> Iterator[None]:
    """Hold the lock of this file. If that takes more than `quiet_s`, `on_wait` gets its holder. Raises OSError."""
    lock = FileLock(path, mode=0o644)  # under any umask
    try:
        lock.acquire(timeout=quiet_s)
    except Timeout:
        on_wait(holder(path))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of this file if no process holds it. Yields whether it is held now. Raises OSError."""
    lock = FileLock(path, mode=0o644)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def holder(path: Path) -> str:
    """Return the holder of the lock of this file in words: `process 4711 in /home/me/project`."""
    with suppress(OSError):
        status = path.stat()
        inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for words in map(str.split, kernel_text.lines(kernel_text.read("/proc/locks"))):
            if words[1:2] == ["FLOCK"] and words[_INODE : _INODE + 1] == [inode]:
                return _process(kernel_text.number(words[_OWNER]) or 0)
    return "another process"


def _process(pid: int) -> str:
    if not pid:  # a process of a container has no number here
        return "a process in another container"
    with suppress(OSError):
        folder = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115  # text in any encoding
        return f"process {pid} in {printable(folder)}"
    return f"process {pid}"
