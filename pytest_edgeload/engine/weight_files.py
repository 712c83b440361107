"""The weights of a network through one reader, be they in one file or in several."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.engine.readers import READERS, Reader
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.store import WEIGHTS


class WeightFilesReader:
    """Reads by the reader whose part of the addresses a stretch lies in; none reaches from file to file."""

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


def open_weights(reader: str, folder: Path, network: Network) -> Reader:
    """Return what brings the weights of `network`, which is stored in `folder`, from all files they stand in."""
    kind = READERS[reader]
    stored = kind(folder / WEIGHTS)
    if not network.checkpoint_files:
        return stored
    return WeightFilesReader({0: stored} | {part.begin: kind(Path(part.path)) for part in network.checkpoint_files})
