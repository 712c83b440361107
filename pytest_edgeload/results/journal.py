"""The journal of a session: each measurement is written to a file of its own as soon as it exists.

The names of the files sort by the time of writing; their clock cannot be set and is the same for all processes of a
host.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path

import msgspec

from pytest_edgeload.base import decoding, files
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document, render
from pytest_edgeload.results.record import Entry, Record, collect

HEAD = "session.json"
"""The name of the file with the document of a session, without its measurements."""

_MAX_FILE_BYTES = 1 << 28  # far above the longest run so far


def place(folder: Path, entry: Entry) -> Entry:
    """Return `entry` with the path of the file in `folder` that it will be written to."""
    path = folder / f"{time.monotonic_ns():020}-{os.getpid()}.json"
    return msgspec.structs.replace(entry, file=str(path))


def brought_home(folder: Path, entry: Entry) -> Entry:
    """Return an entry of a host with the path of the file in `folder` here that it belongs into."""
    name = f"{entry.measurement.host}-{Path(entry.file).name}".replace("/", "-")
    return msgspec.structs.replace(entry, file=str(folder / name))


def write(entry: Entry) -> None:
    """Write `entry` to its file. Raises OSError, and leaves no file then."""
    path = Path(entry.file)
    files.make_folder(path.parent)
    files.write(path, msgspec.json.encode(entry), files.OURS)


def read(path: Path) -> Entry | None:
    """Return the entry in `path`; None if it cannot be read."""
    try:
        return decoding.decode(files.read(path, _MAX_FILE_BYTES), Entry)
    except (OSError, ValueError):
        return None


class Follower:
    """Follows the measurements in a folder; keeps no spans and time lines.

    If the process `is_alone`, it notes its own measurements and reads none. Otherwise it reads those of the others.
    """

    def __init__(self, folder: Path, *, is_alone: bool) -> None:
        self._folder = folder
        self._is_alone = is_alone
        self._known: set[str] = set()
        self._entries: defaultdict[str, list[Entry]] = defaultdict(list)

    def note(self, entry: Entry) -> None:
        """Note a measurement of this process."""
        self._known.add(Path(entry.file).name)
        summary = msgspec.structs.replace(entry, measurement=entry.measurement.summary())
        self._entries[entry.case.test].append(summary)

    def of_test(self, test: str) -> tuple[Record, ...]:
        """Return the records of `test` so far."""
        names = os.listdir(self._folder) if not self._is_alone and self._folder.is_dir() else []  # noqa: PTH208  # quicker
        for name in sorted({*names} - self._known):
            if name.endswith(".json") and (entry := read(self._folder / name)) is not None:
                self.note(entry)
        return collect(self._entries[test])


def begin(session: Path, empty: Document) -> None:
    """Write the document of a session before its first measurement into its folder. Raises OSError."""
    files.write(session / HEAD, render(empty), files.OURS)


def recovered(session: Path, runs: Path) -> Document:
    """Return the document of the session with this folder, complete or interrupted. Raises UsageError."""
    if not (session / HEAD).is_file():
        raise UsageError(str(session), "not the folder of a session", "name one, or a file of records")
    entries = filter(None, map(read, sorted(runs.glob("*.json"))))
    return msgspec.structs.replace(baseline.load(session / HEAD), records=collect(entries))
