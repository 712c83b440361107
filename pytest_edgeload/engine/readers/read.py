"""`read`: weights are copied into private memory by ordinary reads through the page cache."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path


class ReadReader:
    """Reads into a fresh anonymous mapping, which the kernel takes back whole when the last reference to it goes."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, offset: int, size_bytes: int) -> mmap.mmap:
        """Return private memory that holds these bytes of the file."""
        try:
            memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"no memory for {size_bytes} bytes of weights: {error.strerror}") from error
        with suppress(OSError):  # a kernel built without huge pages does not know this advice
            memory.madvise(mmap.MADV_HUGEPAGE)  # one page fault for 2 MiB instead of 512
        view = memoryview(memory)
        done = 0
        while done < size_bytes:
            count = os.preadv(self._fd, [view[done:]], offset + done)
            if count == 0:
                raise EOFError(f"the weights file ends at byte {offset + done}")
            done += count
        return memory

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
