"""Allocates private memory for weights, and returns the memory that malloc keeps. Never imports torch."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

HUGE = 2 << 20
"""Bytes of a huge page."""

_LIBC = ctypes.CDLL(None)


def allocate(size_bytes: int) -> mmap.mmap:
    """Return private memory, which the kernel takes back completely when the last reference is gone.

    Raises MemoryError if the kernel refuses the allocation.
    """
    try:
        memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no memory for {size_bytes} bytes of weights: {error.strerror}") from error
    with suppress(OSError):  # a kernel built without huge pages does not know this advice
        memory.madvise(mmap.MADV_HUGEPAGE)  # one page fault for 2 MiB instead of 512
    return memory


def arena(size_bytes: int) -> memoryview:
    """Return private memory aligned to huge pages; each page becomes resident at the first write."""
    memory = allocate(size_bytes + HUGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    start = -address % HUGE
    return memoryview(memory)[start : start + size_bytes]


def trim() -> None:
    """Return the memory of freed activations, which malloc keeps, to the system; weights are separate mappings."""
    _LIBC.malloc_trim(0)
