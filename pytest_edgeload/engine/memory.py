"""Memory taken from the system for weights, and what malloc keeps given back to it. Never imports torch."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

HUGE = 2 << 20
_LIBC = ctypes.CDLL(None)


def memory(size_bytes: int) -> mmap.mmap:
    """Return private memory, which the kernel takes back whole when the last reference to it goes.

    Raises MemoryError where the kernel refuses it.
    """
    try:
        taken = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no memory for {size_bytes} bytes of weights: {error.strerror}") from error
    with suppress(OSError):  # a kernel built without huge pages does not know this advice
        taken.madvise(mmap.MADV_HUGEPAGE)  # one page fault for 2 MiB instead of 512
    return taken


def arena(size_bytes: int) -> memoryview:
    """Return private memory that begins where a huge page can; it becomes resident as it is written to."""
    whole = memory(size_bytes + HUGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(whole))
    start = -address % HUGE
    return memoryview(whole)[start : start + size_bytes]


def trim() -> None:
    """Give back what malloc keeps of freed activations; weights are mappings of their own, and gone already."""
    _LIBC.malloc_trim(0)
