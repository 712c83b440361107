"""Each measurement on disk at once: one file a measurement, whole or not there, in the session's own folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pytest_edgeload.results.record import Entry


def write(folder: Path, entry: Entry) -> Entry:
    """Write `entry` into a new file of `folder`; return it with the file's path noted."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{entry.measurement.started:.6f}-{os.getpid()}.json"
    noted = msgspec.structs.replace(entry, file=str(path))
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(noted))
    part.replace(path)
    return noted


def read(path: Path) -> Entry | None:
    """Return the entry that `path` holds; None where there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Entry)
    except (OSError, msgspec.DecodeError):
        return None
