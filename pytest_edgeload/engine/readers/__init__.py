"""How weight bytes arrive in memory: one reader a file, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from mmap import mmap
from pathlib import Path
from typing import Protocol

from pytest_edgeload.engine.readers.read import ReadReader


class Reader(Protocol):
    """Brings stretches of one file into memory."""

    def read(self, offset: int, size_bytes: int) -> mmap:
        """Return memory that holds these bytes; it is given back when the last reference to it goes.

        Raises MemoryError where the kernel refuses memory, OSError or EOFError where the file cannot be read.
        """

    def close(self) -> None:
        """Close the file; memory handed out stays valid."""


READERS: Mapping[str, Callable[[Path], Reader]] = {"read": ReadReader}
