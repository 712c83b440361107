"""How weight bytes arrive in memory: one reader a file, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pytest_edgeload.engine.readers.direct import DirectReader
from pytest_edgeload.engine.readers.mmap import MmapReader
from pytest_edgeload.engine.readers.read import ReadReader


class Reader(Protocol):
    """Brings stretches of one file into memory. `notice` says in a sentence what it cannot do here, else is None."""

    notice: str | None

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return memory that holds these bytes: inside of `into`, or else memory of its own.

        `into` begins on a page and has room for all pages of the file that the bytes lie in; what is read into such a
        place again and again does not stay in the page cache. Memory of its own is given back when the last reference
        to it has gone and `drop` is told so. Raises MemoryError where the kernel refuses memory, OSError or EOFError
        where the file cannot be read.
        """

    def drop(self, offset: int, size_bytes: int) -> None:
        """Note that these bytes are not needed any more, and that nobody refers to what `read` gave for them."""

    def close(self) -> None:
        """Close the file; memory handed out stays valid."""


READERS: Mapping[str, Callable[[Path], Reader]] = {"read": ReadReader, "mmap": MmapReader, "direct": DirectReader}
