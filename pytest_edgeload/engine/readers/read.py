"""The reader `read`: copies weights into private memory with ordinary reads through the page cache."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_edgeload.engine.memory import allocate

_ALIGNMENT = 8  # of the widest type: tensors that are aligned in the file must be aligned in memory


class ReadReader:
    """Reads with preadv(2)."""

    notice: str | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offsets_read_into: set[int] = set()

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return private memory that contains these bytes of the file."""
        begin = offset % _ALIGNMENT
        end = begin + size_bytes
        view = memoryview(allocate(end))[begin:] if into is None else into[begin:end]
        fill(self._fd, view, offset, size_bytes, self._path)
        if into is not None and offset in self._offsets_read_into:
            # A caller with a place for these bytes has planned how long they stay. The page cache counts against the
            # same limit; after a second read it would keep the bytes and swap out planned memory instead.
            os.posix_fadvise(self._fd, offset, size_bytes, os.POSIX_FADV_DONTNEED)
        elif into is not None:
            self._offsets_read_into.add(offset)
        return view

    def drop(self, offset: int, size_bytes: int) -> None:
        """Do nothing: private memory goes with its last reference, and the kernel manages the page cache."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def fill(fd: int, view: memoryview, offset: int, min_bytes: int, path: Path) -> None:
    """Read from the file `path` until `view` contains at least `min_bytes`. Raises EOFError if the file ends before."""
    end = os.fstat(fd).st_size
    if offset + min_bytes > end:
        raise ends_early(path, end)
    done = os.preadv(fd, [view], offset)
    while done < min_bytes:
        count = os.preadv(fd, [view[done:]], offset + done)
        if not count:  # the file has become shorter meanwhile
            raise ends_early(path, offset + done)
        done += count


def ends_early(path: Path, end: int) -> EOFError:
    """Return the error for a file that ends before the weights do."""
    return EOFError(f"{path}: the weights file ends at byte {end}; restore it")
