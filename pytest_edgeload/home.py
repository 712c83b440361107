"""Where a session keeps its things: a cache that all share, and a folder of its own. Cheap to import."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from pytest_edgeload import files
from pytest_edgeload.errors import UsageError
from pytest_edgeload.sandbox.owner import PREFIX, tag

_MOST = 1 << 24  # bytes


class Home(NamedTuple):
    """The cache, and the session's own folder in it."""

    cache: Path
    folder: Path

    @classmethod
    def new(cls, cache_dir: Path | None) -> Home:
        """Return the home of a session that this process owns; nothing is made yet."""
        cache = cache_dir or user_cache_path("edgeload")
        begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return cls(cache, cache / "sessions" / f"{begun}.{PREFIX}{tag(os.getpid())}")

    @property
    def session(self) -> str:
        """The tag of the owner, which all that the session leaves on the machine carries."""
        return self.folder.name.partition(PREFIX)[2]

    @property
    def runs(self) -> Path:
        """Where each measurement is written at once."""
        return self.folder / "runs"

    @property
    def swaps(self) -> Path:
        """Where temporary swap files stand."""
        return self.cache / "swap"

    @property
    def wanted(self) -> Path:
        """A file by which a worker of xdist tells the controller that it has collected tests that measure."""
        return self.folder / "wanted"

    def make(self, folder: Path) -> None:
        """Make `folder`, one of these. Raises UsageError."""
        with self._refusing():
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """Write a file of these, whole or not at all. Raises UsageError."""
        with self._refusing():
            files.write(path, data)

    def read(self, path: Path) -> bytes:
        """Return what a file of these holds. Raises UsageError."""
        with self._refusing("start the session anew"):
            return files.read(path, _MOST)

    @contextmanager
    def _refusing(self, way_out: str = "name another folder by --edge-cache-dir") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"{self.cache}: {error.strerror}; {way_out}") from error
