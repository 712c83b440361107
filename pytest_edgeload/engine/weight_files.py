"""Reads the weights of a network, which are in one file or spread over several, through one reader."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.engine.readers import READERS, Reader
from pytest_edgeload.networks.compressed import PLAIN, StoreForm, blocks_file, read_index
from pytest_edgeload.networks.folder import weights_path
from pytest_edgeload.networks.layer import Network


class WeightFilesReader:
    """A reader of several files, given by the first address of each; no byte range crosses from file to file."""

    def __init__(self, readers: Mapping[int, Reader]) -> None:
        self._begins = sorted(readers)
        self._readers = [readers[begin] for begin in self._begins]
        self.notice = next((reader.notice for reader in self._readers if reader.notice), None)

    def _reader_at(self, address: int) -> tuple[Reader, int]:
        """Return the reader of the file that contains `address`, and the offset in that file."""
        i = bisect_right(self._begins, address) - 1
        return self._readers[i], address - self._begins[i]

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return memory that contains these bytes."""
        reader, own_offset = self._reader_at(offset)
        return reader.read(own_offset, size_bytes, into)

    def drop(self, offset: int, size_bytes: int) -> None:
        """Release these bytes."""
        reader, own_offset = self._reader_at(offset)
        reader.drop(own_offset, size_bytes)

    def close(self) -> None:
        """Close all files."""
        for reader in self._readers:
            reader.close()


def open_weights(reader: str, folder: Path, network: Network, store: StoreForm = PLAIN) -> Reader:
    """Return a reader of all weights of `network`, stored in `folder` in the form `store`.

    `reader` is a name in READERS. Raises DamagedNetwork.
    """
    begins = [0, *(file.begin for file in network.checkpoint_files)]
    files = [weights_path(folder), *(Path(file.path) for file in network.checkpoint_files)]
    is_plain = store == PLAIN
    opened = [READERS[reader](file) if is_plain else _open(reader, folder, i) for i, file in enumerate(files)]
    return WeightFilesReader(dict(zip(begins, opened, strict=True))) if network.checkpoint_files else opened[0]


def _open(reader: str, folder: Path, file: int) -> Reader:
    """Return a reader of the compressed weights file with this number."""
    from pytest_edgeload.engine.compressed_reader import CompressedReader  # noqa: PLC0415  # memory that other workers save

    path, index = blocks_file(folder, file), read_index(folder, file)
    return CompressedReader(path, index, READERS[reader](path))
