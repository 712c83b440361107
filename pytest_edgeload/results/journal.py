"""Each measurement on disk at once: one file a measurement, whole or not there, in the session's own folder.

Files are named in the order of their making by a clock that nobody can set and that all processes of a host share.
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

_HEAD = "session.json"
_MOST = 1 << 28  # bytes: of a run of so many tasks and seconds as nobody has had


def place(folder: Path, entry: Entry) -> Entry:
    """Return `entry` with the file of `folder` noted that is to hold it."""
    path = folder / f"{time.monotonic_ns():020}-{os.getpid()}.json"
    return msgspec.structs.replace(entry, file=str(path))


def write(entry: Entry) -> None:
    """Write `entry` into its file. Raises OSError, and then leaves no file of that name."""
    path = Path(entry.file)
    files.make(path.parent)
    files.write(path, msgspec.json.encode(entry), files.OURS)


def read(path: Path) -> Entry | None:
    """Return the entry that `path` holds; None where there is none that can be read."""
    try:
        return decoding.decode(files.read(path, _MOST), Entry)
    except (OSError, ValueError):
        return None


class Follower:
    """Measurements of a folder as they come in from whichever process, less spans and time lines; each is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self._entries: defaultdict[str, list[Entry]] = defaultdict(list)

    def of_test(self, test: str) -> tuple[Record, ...]:
        """Return the records of what `test` has measured so far."""
        names = os.listdir(self._folder) if self._folder.is_dir() else []  # noqa: PTH208  # they are all it takes, often
        for name in sorted({*names} - self._known):
            if name.endswith(".json") and (entry := read(self._folder / name)) is not None:
                self._known.add(name)
                summary = msgspec.structs.replace(entry, measurement=entry.measurement.summary())
                self._entries[entry.case.test].append(summary)
        return collect(self._entries[test])


def begin(session: Path, nothing: Document) -> None:
    """Note in the folder of a session what is known before its first measurement. Raises OSError."""
    files.write(session / _HEAD, render(nothing), files.OURS)


def recovered(session: Path, runs: Path) -> Document:
    """Return what a session measured whose folder this is, however it ended. Raises UsageError."""
    if not (session / _HEAD).is_file():
        raise UsageError(f"{session}: no folder of a session; name one, or a file of records")
    entries = filter(None, map(read, sorted(runs.glob("*.json"))))
    return msgspec.structs.replace(baseline.load(session / _HEAD), records=collect(entries))
