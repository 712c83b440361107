"""The reader `mmap`: weights stay in the page cache; a load fetches their pages and a free drops them."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.engine.readers.read import ends_early
from pytest_edgeload.networks.folder import map_file
from pytest_edgeload.networks.tile import PAGE

_POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14, which Python's mmap module lacks


class MmapReader:
    """Maps the whole file once; see madvise(2) and posix_fadvise(2)."""

    notice: str | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size_bytes = os.fstat(self._fd).st_size
        try:
            self._mapping = map_file(self._fd)
        except OSError as error:
            os.close(self._fd)
            raise MemoryError(f"no memory for {size_bytes} bytes of weights: {error.strerror}") from error
        self._view = memoryview(self._mapping)
        self._devnull = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:  # noqa: ARG002
        """Return the mapping of these bytes after fetching them; ignore `into`."""
        if offset + size_bytes > len(self._view):
            raise ends_early(self._path, len(self._view))
        begin, end = offset // PAGE * PAGE, offset + size_bytes
        self._fetch(begin, end)
        with suppress(OSError):  # an older kernel maps each page at its first access
            self._mapping.madvise(_POPULATE_READ, begin, end - begin)
        return self._view[offset : offset + size_bytes]

    def _fetch(self, begin: int, end: int) -> None:
        """Bring a byte range of the file into the page cache, and wait until all of it is there.

        MADV_POPULATE_READ would also read it, but with the address space locked while it waits for the disk; no other
        lane could allocate memory until the last page has arrived.
        """
        while begin < end:
            sent = os.sendfile(self._devnull, self._fd, begin, end - begin)
            if sent == 0:
                raise ends_early(self._path, begin)
            begin += sent

    def drop(self, offset: int, size_bytes: int) -> None:
        """Remove the pages from the mapping and the page cache, except pages that contain bytes of a neighbor."""
        begin, end = -(-offset // PAGE) * PAGE, (offset + size_bytes) // PAGE * PAGE
        if end > begin:
            self._mapping.madvise(mmap.MADV_DONTNEED, begin, end - begin)
            os.posix_fadvise(self._fd, begin, end - begin, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file; the mapping goes with the last reference to memory that `read` returned."""
        os.close(self._fd)
        os.close(self._devnull)
        del self._view, self._mapping
