"""Several files as one: each brings what lies behind its first address."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_edgeload.engine.readers import Reader


class PartsReader:
    """Reads from the reader whose part of the addresses a stretch lies in; none reaches from file to file."""

    def __init__(self, readers: Mapping[int, Reader]) -> None:
        self._begins = sorted(readers)
        self._readers = [readers[begin] for begin in self._begins]
        self.notice = next((reader.notice for reader in self._readers if reader.notice), None)

    def _at(self, offset: int) -> tuple[Reader, int]:
        i = bisect_right(self._begins, offset) - 1
        return self._readers[i], offset - self._begins[i]

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return memory that holds these bytes."""
        reader, inside = self._at(offset)
        return reader.read(inside, size_bytes, into)

    def drop(self, offset: int, size_bytes: int) -> None:
        """Note that these bytes are not needed any more."""
        reader, inside = self._at(offset)
        reader.drop(inside, size_bytes)

    def close(self) -> None:
        """Close all files."""
        for reader in self._readers:
            reader.close()
