"""`read`: weights are copied into private memory by ordinary reads through the page cache."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_edgeload.engine.memory import memory


class ReadReader:
    """Reads by preadv(2)."""

    notice: str | None = None

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._placed: set[int] = set()  # offsets of what was brought to a place

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return private memory that holds these bytes of the file."""
        view = memoryview(memory(size_bytes)) if into is None else into[:size_bytes]
        fill(self._fd, view, offset, size_bytes)
        if into is not None and offset in self._placed:
            # Who has a place for these bytes has planned how long they stay. The page cache, which is counted against
            # the same limit, would from now on hold dear what it was asked for twice, and swap planned memory out.
            os.posix_fadvise(self._fd, offset, size_bytes, os.POSIX_FADV_DONTNEED)
        elif into is not None:
            self._placed.add(offset)
        return view

    def drop(self, offset: int, size_bytes: int) -> None:
        """Do nothing: private memory goes with the last reference to it, and the page cache is the kernel's."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def fill(fd: int, view: memoryview, offset: int, least_bytes: int) -> None:
    """Read from the file until `view` holds at least `least_bytes`. Raises EOFError where the file ends before."""
    end = os.fstat(fd).st_size
    if offset + least_bytes > end:
        raise EOFError(f"the weights file ends at byte {end}")
    done = os.preadv(fd, [view], offset)
    while done < least_bytes:
        done += os.preadv(fd, [view[done:]], offset + done)
