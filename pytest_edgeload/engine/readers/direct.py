"""The reader `direct`: reads past the page cache into private memory. See open(2), O_DIRECT."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pytest_edgeload.engine.memory import allocate
from pytest_edgeload.engine.readers.read import fill
from pytest_edgeload.networks.tile import PAGE


class DirectReader:
    """Reads whole pages, as O_DIRECT requires; reads through the page cache if the file system refuses O_DIRECT."""

    def __init__(self, path: Path) -> None:
        self.notice: str | None = None
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
            os.preadv(self._fd, [allocate(PAGE)], 0)  # some file systems refuse only the first read
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.notice = f"reader direct: {path.parent} refuses O_DIRECT, so it reads through the page cache"
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return private memory that contains these bytes of the file."""
        begin = offset % PAGE
        pages_bytes = -(-(begin + size_bytes) // PAGE) * PAGE
        view = memoryview(allocate(pages_bytes)) if into is None else into[:pages_bytes]
        fill(self._fd, view, offset - begin, begin + size_bytes, self._path)
        return view[begin : begin + size_bytes]

    def drop(self, offset: int, size_bytes: int) -> None:
        """Do nothing: private memory goes with its last reference, and the page cache has none of the bytes."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
