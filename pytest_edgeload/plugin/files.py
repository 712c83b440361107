"""The report files of a session: tried before anything is measured, and written whole or not at all when it ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal, UsageError, suggestion
from pytest_edgeload.plugin.options import Given, source, spell
from pytest_edgeload.plugin.settings import File
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement


def check(file: File, empty: Document) -> None:
    """Make the report of an empty document and write it beside its path, which stays as it is.

    Raises UsageError for an unknown format, Refusal if the format needs a missing package, and OSError.
    """
    if file.format not in FORMATS:
        raise UsageError(f"format {file.format}", "unknown", suggestion(file.format, FORMATS))
    part = file.path.with_name(f"{file.path.name}.{os.getpid()}.tried")
    try:
        files.write(part, _text(file, empty, Judgement(), View()))
    finally:
        part.unlink(missing_ok=True)


def write(file: File, document: Document, judgement: Judgement, view: View) -> None:
    """Write the report. Raises Refusal and OSError, and then leaves the earlier file unchanged."""
    files.write(file.path, _text(file, document, judgement, view))


def append(path: Path, text: str, max_bytes: int) -> None:
    """Append `text` to the file. Raises OSError, also if the file would then have more than `max_bytes`."""
    added = text.encode("utf-8", "backslashreplace")
    with path.open("ab") as file:
        if file.tell() + len(added) > max_bytes:
            raise OSError(errno.EFBIG, f"would have more than {max_bytes} bytes")
        file.write(added)


def refusal(file: File, error: Refusal | OSError, given: Mapping[str, Given], runs: Path) -> UsageError:
    """Return the error of a report that cannot be written. `runs` is the folder with all measurements."""
    value = f"{file.format}:{file.path}" if file.option == "export" else str(file.path)
    subject = f"{source(file.option, given)}={value}"
    if isinstance(error, Refusal):
        return UsageError(subject, str(error.spelled(spell)))
    hint = f"name a file elsewhere, each measurement is also in {runs}"
    return UsageError(subject, error.strerror or str(error), hint)


def _text(file: File, document: Document, judgement: Judgement, view: View) -> bytes:
    return FORMATS[file.format](document, judgement, view).encode("utf-8", "backslashreplace")
