"""Locks between the processes of one machine: the kernel holds them, so who dies lets go, and none is ever stale."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_edgeload.base.text import printable

_QUIET_S = 1.0
_OWNER, _PLACE = 4, 5  # words of a line of /proc/locks; see proc_locks(5)


def silent(_who: str) -> None:
    """Tell nobody."""


@contextmanager
def held(path: Path, waits: Callable[[str], None] = silent) -> Iterator[None]:
    """Hold the lock of this file; `waits` is told for whom, where that takes more than a second. Raises OSError."""
    lock = FileLock(path, mode=0o644)  # whatever the umask
    try:
        lock.acquire(timeout=_QUIET_S)
    except Timeout:
        waits(holder(path))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def holder(path: Path) -> str:
    """Return in words who holds the lock of this file: `process 4711 in /home/me/project`, if the kernel tells."""
    with suppress(OSError):
        status = path.stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for words in map(str.split, Path("/proc/locks").read_text().splitlines()):
            if words[1] == "FLOCK" and words[_PLACE] == place and words[_OWNER].isdecimal():
                return _process(int(words[_OWNER]))
    return "another process"


def _process(pid: int) -> str:
    if not pid:  # of a container, which has no number here
        return "a process in another container"
    with suppress(OSError):
        folder = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115  # text, whatever its encoding
        return f"process {pid} in {printable(folder)}"
    return f"process {pid}"
