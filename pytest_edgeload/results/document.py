"""A file of records: what `--edge-json` writes, and what a baseline is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from pytest_edgeload.base import decoding
from pytest_edgeload.results.record import SCHEMA, Record

_VERSIONS = ("pytest-edgeload", "pytest", "torch")


class Machine(msgspec.Struct, frozen=True):
    """What the records were measured on."""

    processor: str
    processors: int
    memory_bytes: int
    kernel: str
    python: str
    torch: str

    @property
    def key(self) -> str:
        """What tells kinds of machines apart, as the name of a folder: processor and memory, no version of anything."""
        words = f"{self.processors}x {self.processor} {round(self.memory_bytes / (1 << 30))}G"
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


class Commit(msgspec.Struct, frozen=True):
    """The state of the project's repository."""

    id: str
    branch: str
    is_dirty: bool


class Document(msgspec.Struct, frozen=True):
    """Records, and where and when they were measured."""

    schema: int
    created: str
    machine: Machine
    settings: dict[str, str]
    records: tuple[Record, ...]
    commit: Commit | None = None
    versions: dict[str, str] = {}

    def summary(self) -> Document:
        """Return the document without task spans and time lines."""
        records = tuple(Record(r.case, tuple(m.summary() for m in r.rounds)) for r in self.records)
        return msgspec.structs.replace(self, records=records)


class _Head(msgspec.Struct):
    schema: int


def document(records: Sequence[Record], settings: Mapping[str, str], project: Path) -> Document:
    """Return `records` with what is known of this machine and of the repository that holds `project`."""
    return Document(
        schema=SCHEMA,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        machine=machine(),
        settings=dict(settings),
        records=tuple(records),
        commit=commit(project),
        versions={name: importlib.metadata.version(name) for name in _VERSIONS},
    )


def render(document: Document) -> bytes:
    """Return the text of a file that holds `document`."""
    return msgspec.json.encode(document)


def parse(text: bytes) -> Document:
    """Return the document that `text` holds. Raises ValueError."""
    try:
        schema = decoding.decode(text, _Head).schema
        found = decoding.decode(text, Document) if schema == SCHEMA else None
    except ValueError as error:
        raise ValueError(f"holds no records ({error})") from error
    if found is None:
        raise ValueError(f"has schema {schema}, and this version reads {SCHEMA}")
    return _checked(found)


def _checked(document: Document) -> Document:
    """Return `document`. Raises ValueError where nobody could tell which record of a case to compare with."""
    cases = [record.case for record in document.records]
    if len({*cases}) < len(cases):
        raise ValueError("has two records of one case")
    return document


def machine() -> Machine:
    """Return what is known of this machine."""
    return Machine(
        processor=_processor(),
        processors=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        kernel=platform.release(),
        python=platform.python_version(),
        torch=importlib.metadata.version("torch"),
    )


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return platform.processor()


def commit(project: Path) -> Commit | None:
    """Return the state of the Git repository that holds `project`; None without one, or without Git."""
    with suppress(OSError, subprocess.CalledProcessError):
        head = _git(project, "rev-parse", "HEAD")
        return Commit(
            head, _git(project, "rev-parse", "--abbrev-ref", "HEAD"), bool(_git(project, "status", "--porcelain"))
        )
    return None


def _git(project: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(project), *words],  # noqa: S607  # the user's own, by the user's path
        check=True, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    return done.stdout.strip()
