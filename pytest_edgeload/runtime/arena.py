"""The arena of a runtime: one mapping for the arenas of all plans, so that tiles stay at their places."""

from __future__ import annotations

import ctypes
import mmap

from pytest_edgeload.engine.memory import arena
from pytest_edgeload.networks.tile import PAGE


class ReusedArena:
    """Memory for the arena of one plan after the other; what a plan does not need is returned to the system."""

    def __init__(self) -> None:
        self._memory: memoryview | None = None

    def fits(self, size_bytes: int) -> bool:
        """Return whether an arena of this size keeps the bytes of the one before."""
        return self._memory is not None and size_bytes <= len(self._memory)

    def of(self, size_bytes: int) -> memoryview | None:
        """Return memory for an arena of this size, None for 0. The bytes of the one before stay if it `fits`."""
        fits = self.fits(size_bytes)
        if (
            self._memory is not None
        ):  # others may still refer to it, such as an earlier window, which is part of a cycle
            _return_pages(self._memory, size_bytes if fits else 0)
        if not fits:
            self._memory = arena(size_bytes) if size_bytes else None
        return self._memory if size_bytes else None


def _return_pages(memory: memoryview, begin: int) -> None:
    """Return the pages of an arena from byte `begin` on to the system."""
    mapping = memory.obj
    assert isinstance(mapping, mmap.mmap)
    start = _address(memory) - _address(mapping)
    first = -(-(start + begin) // PAGE) * PAGE
    if first < start + len(memory):
        mapping.madvise(mmap.MADV_DONTNEED, first, start + len(memory) - first)


def _address(memory: memoryview | mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
