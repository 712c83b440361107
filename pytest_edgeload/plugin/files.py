"""The files of a session: tried before anything is measured, written when it ends, whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.plugin.settings import File
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Finding


def check(file: File, nothing: Document) -> None:
    """Make the report of `nothing` and write it beside its place, which stays as it is.

    Raises UsageError for a format that nobody has, Refusal where it lacks what it needs, OSError.
    """
    if file.format not in FORMATS:
        raise UsageError(f"no report is called {file.format}; {suggestion(file.format, FORMATS)}")
    part = file.path.with_name(f"{file.path.name}.{os.getpid()}.tried")
    try:
        files.write(part, _text(file, nothing, (), View()))
    finally:
        part.unlink(missing_ok=True)


def write(file: File, document: Document, findings: Sequence[Finding], view: View) -> None:
    """Write the report. Raises Refusal and OSError, and then leaves what was there before."""
    files.write(file.path, _text(file, document, findings, view))


def append(path: Path, text: str, most: int) -> None:
    """Add `text` to the file unless it would then have more than `most` bytes. Raises OSError."""
    added = text.encode("utf-8", "backslashreplace")
    with path.open("ab") as file:
        if file.tell() + len(added) > most:
            raise OSError(errno.EFBIG, f"would have more than {most} bytes")
        file.write(added)


def _text(file: File, document: Document, findings: Sequence[Finding], view: View) -> bytes:
    return FORMATS[file.format](document, findings, view).encode("utf-8", "backslashreplace")
