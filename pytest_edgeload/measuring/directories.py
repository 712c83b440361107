"""The directories of a session: a cache that all sessions share, and a folder of its own. Cheap to import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.sandbox.owner import PREFIX, is_abandoned, tag

_MAX_FILE_BYTES = 1 << 20


class SessionDirectories(NamedTuple):
    """The cache, and the session's own folder in it."""

    cache: Path
    folder: Path

    @classmethod
    def new(cls, cache_dir: Path | None) -> SessionDirectories:
        """Return the directories of a session that this process owns. Creates nothing."""
        cache = cache_dir or user_cache_path("edgeload")
        sessions = cache / "sessions"
        # A number, because clocks can be set, and because tags alone are not unique after a restart of the machine.
        number = 1 + max((number_of(folder) for folder in sessions.glob(f"*.{PREFIX}*")), default=0)
        return cls(cache, sessions / f"{number:06}.{PREFIX}{tag(os.getpid())}")

    @classmethod
    def of(cls, folder: Path) -> SessionDirectories:
        """Return the directories of the session that has this folder."""
        return cls(folder.absolute().parent.parent, folder)

    @property
    def session(self) -> str:
        """The tag of the owner. Everything that the session leaves on the machine has it in its name."""
        return self.folder.name.partition(PREFIX)[2]

    @property
    def runs(self) -> Path:
        """The folder with one file for each measurement, written as soon as the measurement exists."""
        return self.folder / "runs"

    @property
    def swaps(self) -> Path:
        """The folder of temporary swap files."""
        return self.cache / "swap"

    @property
    def measuring_tests(self) -> Path:
        """A file with the tests that measure. A worker of xdist writes it for the controller after collection."""
        return self.folder / "measuring"

    @property
    def refusal(self) -> Path:
        """A file with the sentence by which a worker of xdist refuses the session, for the controller."""
        return self.folder / "refused"

    @property
    def interrupt_marker(self) -> Path:
        """An empty file, which the controller of xdist writes for its workers when it is interrupted."""
        return self.folder / "interrupted"

    @property
    def unreported_marker(self) -> Path:
        """An empty file, which exists until the session has reported its results."""
        return self.folder / "unreported"

    def make(self, folder: Path) -> None:
        """Create `folder`, one of these directories, writable by this user only. Raises UsageError."""
        with files.noting(self.cache):
            files.make_folder(folder)

    def write(self, path: Path, data: bytes) -> None:
        """Write a file in one of these directories, whole or not at all. Raises UsageError."""
        with files.noting(self.cache):
            files.write(path, data, files.OURS)

    def read(self, path: Path) -> bytes:
        """Return the content of a file in one of these directories. Raises UsageError."""
        try:
            return files.read(path, _MAX_FILE_BYTES)
        except OSError as error:
            raise UsageError(str(path), error.strerror or "cannot be read", "start the session again") from error


def number_of(folder: Path) -> int:
    """Return the number of a session's folder, or 0 if it has none. Later sessions have larger numbers."""
    number = folder.name.partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() else 0


def living_sessions(cache: Path) -> list[Path]:
    """Return the folders of the sessions that use this cache now, or may, because they run in another container."""
    return [folder for folder in sorted((cache / "sessions").glob(f"*.{PREFIX}*")) if not is_dead(folder)]


def is_dead(folder: Path) -> bool:
    """Return whether the folder is that of a session whose process has ended."""
    return is_abandoned(folder.name.partition(".")[2])
