"""Readers: how weight bytes arrive in memory, one per file, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pytest_edgeload.engine.readers.direct import DirectReader
from pytest_edgeload.engine.readers.mmap import MmapReader
from pytest_edgeload.engine.readers.read import ReadReader


class Reader(Protocol):
    """Brings byte ranges of one file into memory; `notice` is a sentence about a missing ability, or None."""

    notice: str | None

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return memory that contains these bytes of the file: a part of `into`, or newly allocated memory.

        `into` begins at a page and has room for all pages of the file that contain the bytes. Bytes that are read
        `into` memory repeatedly do not stay in the page cache. Newly allocated memory is released after its last
        reference is gone and `drop` is called. Raises MemoryError if the kernel refuses memory, and OSError or EOFError
        if the file cannot be read.
        """

    def drop(self, offset: int, size_bytes: int) -> None:
        """Release these bytes; the caller holds no reference to the memory that `read` returned for them."""

    def close(self) -> None:
        """Close the file; memory that `read` returned stays valid."""


READERS: Mapping[str, Callable[[Path], Reader]] = {"read": ReadReader, "mmap": MmapReader, "direct": DirectReader}
