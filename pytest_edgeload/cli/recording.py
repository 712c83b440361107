"""The measurements of a subcommand: each is stored as soon as it exists, in the session's folder, as pytest does."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from pytest_edgeload.base.files import noting
from pytest_edgeload.base.text import printable
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.results import journal
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document, document
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry, collect

_MAX_COMMAND = 10_000  # characters


@dataclass(frozen=True)
class Recording:
    """The measurements of a session so far, and its folder. `empty` is the document without them."""

    directories: SessionDirectories
    empty: Document
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def begin(cls, args: argparse.Namespace, directories: SessionDirectories) -> Self:
        """Begin the journal of a session. Raises UsageError.

        If the session does not note that it reported, the next session names the folder of its measurements.
        """
        settings = {name: str(value) for name, value in vars(args).items() if isinstance(value, str | int | float)}
        empty = document((), settings, Path.cwd(), command_line())
        with noting(directories.cache):
            journal.begin(directories.folder, empty)
        directories.write(directories.unreported_marker, b"")
        return cls(directories, empty)

    def add(self, case: Case, measurement: Measurement) -> None:
        """Store a measurement. Raises UsageError."""
        entry = journal.place(self.directories.runs, Entry(case, measurement))
        self.entries.append(entry)
        with noting(self.directories.cache):
            journal.write(entry)

    def note_reported(self) -> None:
        """Note that the measurements were shown, so that the next session does not name their folder."""
        self.directories.unreported_marker.unlink(missing_ok=True)

    @property
    def document(self) -> Document:
        """The document with all records so far."""
        return msgspec.structs.replace(self.empty, records=collect(self.entries))


def command_line() -> str:
    """Return the words that started this process, as a shell takes them; the end of a long command is left out."""
    return printable(shlex.join(["edgeload", *sys.argv[1:]]))[:_MAX_COMMAND]
