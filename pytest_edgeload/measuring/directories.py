"""Where a session keeps its things: a cache that all share, and a folder of its own. Cheap to import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.sandbox.owner import PREFIX, tag

_MOST = 1 << 20  # bytes


class Home(NamedTuple):
    """The cache, and the session's own folder in it."""

    cache: Path
    folder: Path

    @classmethod
    def new(cls, cache_dir: Path | None) -> Home:
        """Return the home of a session that this process owns; nothing is made yet."""
        cache = cache_dir or user_cache_path("edgeload")
        sessions = cache / "sessions"
        # Numbered, as clocks can be set; after a restart of the machine tags alone would not be unique either.
        number = 1 + max((number_of(folder) for folder in sessions.glob(f"*.{PREFIX}*")), default=0)
        return cls(cache, sessions / f"{number:06}.{PREFIX}{tag(os.getpid())}")

    @classmethod
    def of(cls, folder: Path) -> Home:
        """Return the home of the session whose folder this is."""
        return cls(folder.absolute().parent.parent, folder)

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

    @property
    def interrupted(self) -> Path:
        """A file by which the controller of xdist tells its workers that it was interrupted."""
        return self.folder / "interrupted"

    @property
    def unreported(self) -> Path:
        """A file that is there until the results of the session have been reported."""
        return self.folder / "unreported"

    def make(self, folder: Path) -> None:
        """Make `folder`, one of these, in which others may write nothing. Raises UsageError."""
        with files.noting(self.cache):
            files.make(folder)

    def write(self, path: Path, data: bytes) -> None:
        """Write a file of these, whole or not at all. Raises UsageError."""
        with files.noting(self.cache):
            files.write(path, data, files.OURS)

    def read(self, path: Path) -> bytes:
        """Return what a file of these holds. Raises UsageError."""
        try:
            return files.read(path, _MOST)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; start the session anew") from error


def number_of(folder: Path) -> int:
    """Return the number of a session's folder, 0 where it has none; later ones have larger numbers."""
    number = folder.name.partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() else 0
