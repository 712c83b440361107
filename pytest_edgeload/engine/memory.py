"""Allocates private memory for weights, and returns the memory that malloc keeps. Never imports torch."""

from __future__ import annotations

import ctypes
import errno
import mmap
from contextlib import suppress

HUGE = 2 << 20
"""Bytes of a huge page."""

_PROBE_BYTES = 1 << 20

_LIBC = ctypes.CDLL(None)


def is_refusal(error: BaseException) -> bool:
    """Return whether `error` is raised because the kernel refuses memory.

    Libraries say so in many ways; oneDNN just "could not create a primitive". So this asks the kernel for a little.
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if "can't allocate memory" in str(error):  # PyTorch; a smaller allocation than the refused one may still succeed
        return True
    try:
        allocate(_PROBE_BYTES).close()
    except MemoryError:
        return True
    return False


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
