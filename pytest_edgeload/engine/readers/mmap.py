"""`mmap`: weights stay where the kernel keeps the file's pages; they are fetched on load and dropped on free."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.networks.store import mapped
from pytest_edgeload.networks.tile import PAGE

_POPULATE_READ = 22  # MADV_POPULATE_READ, Linux 5.14, which the mmap module does not know yet


class MmapReader:
    """Maps the whole file once; see madvise(2) and posix_fadvise(2)."""

    notice: str | None = None

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size_bytes = os.fstat(self._fd).st_size
        try:
            self._mapping = mapped(self._fd)
        except OSError as error:
            os.close(self._fd)
            raise MemoryError(f"no memory for {size_bytes} bytes of weights: {error.strerror}") from error
        self._view = memoryview(self._mapping)
        self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:  # noqa: ARG002
        """Return the mapping of these bytes, fetched already; `into` is not needed."""
        if offset + size_bytes > len(self._view):
            raise EOFError(f"the weights file ends at byte {len(self._view)}")
        begin, end = offset // PAGE * PAGE, offset + size_bytes
        self._fetch(begin, end)
        with suppress(OSError):  # an older kernel fetches a page when it is touched
            self._mapping.madvise(_POPULATE_READ, begin, end - begin)
        return self._view[offset : offset + size_bytes]

    def _fetch(self, begin: int, end: int) -> None:
        """Bring a stretch of the file into the page cache, and wait until it is there.

        Where the kernel waits for the disk to populate a mapping it has locked the address space, and what executes
        beside could not take memory until the last page has come.
        """
        while begin < end:
            sent = os.sendfile(self._nowhere, self._fd, begin, end - begin)
            if sent == 0:
                raise EOFError(f"the weights file ends at byte {begin}")
            begin += sent

    def drop(self, offset: int, size_bytes: int) -> None:
        """Take the pages out of the mapping and out of the page cache, but for those shared with neighbours."""
        begin, end = -(-offset // PAGE) * PAGE, (offset + size_bytes) // PAGE * PAGE
        if end > begin:
            self._mapping.madvise(mmap.MADV_DONTNEED, begin, end - begin)
            os.posix_fadvise(self._fd, begin, end - begin, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file; the mapping goes with the last reference to what was handed out of it."""
        os.close(self._fd)
        os.close(self._nowhere)
        del self._view, self._mapping
