"""Each measurement on disk at once: one file a measurement, whole or not there, in the session's own folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pytest_edgeload import reading
from pytest_edgeload.results.record import Entry

_MOST_BYTES = 1 << 28  # as of a file of records


def place(folder: Path, entry: Entry) -> Entry:
    """Return `entry` with the file of `folder` noted that is to hold it."""
    path = folder / f"{entry.measurement.started:.6f}-{os.getpid()}.json"
    return msgspec.structs.replace(entry, file=str(path))


def write(entry: Entry) -> None:
    """Write `entry` into its file. Raises OSError, and then leaves no file of that name."""
    path = Path(entry.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        part.write_bytes(msgspec.json.encode(entry))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path) -> Entry | None:
    """Return the entry that `path` holds; None where there is none that can be read."""
    try:
        return reading.decode(reading.read(path, _MOST_BYTES), Entry)
    except (OSError, ValueError):
        return None
