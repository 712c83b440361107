"""The files of a session: the error of a report that cannot be written, and the summary of a job."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.plugin.options import Given, source, spell
from pytest_edgeload.plugin.settings import File


def append(path: Path, text: str, max_bytes: int) -> None:
    """Append `text` to the file. Raises OSError, also if the file would then have more than `max_bytes`."""
    added = text.encode("utf-8", "backslashreplace")
    with path.open("ab") as file:
        if file.tell() + len(added) > max_bytes:
            raise OSError(errno.EFBIG, f"would have more than {max_bytes} bytes")
        file.write(added)


def refusal(file: File, error: Refusal | OSError, given: Mapping[str, Given], runs: Path | None = None) -> UsageError:
    """Return the error of a report that cannot be written. `runs` is the folder with the measurements, if any."""
    value = f"{file.format}:{file.path}" if file.option == "export" else str(file.path)
    subject = f"{source(file.option, given)}={value}"
    if isinstance(error, Refusal):
        return UsageError(subject, str(error.spelled(spell)))
    kept = "" if runs is None else f", each measurement is also in {runs}"
    return UsageError(subject, error.strerror or str(error), f"name a file elsewhere{kept}")
