"""A program that takes memory from the system and returns it. It imports little, because it runs before each run."""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress


def touch(size_bytes: int) -> None:
    """Take memory and write to each page of it."""
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with suppress(OSError):  # a kernel without huge pages refuses this advice
            memory.madvise(mmap.MADV_HUGEPAGE)
        for page in range(0, size_bytes, mmap.PAGESIZE):
            memory[page] = 1


if __name__ == "__main__":
    touch(int(sys.argv[1]))
