"""A file of records: the machine, the commit, the settings and all records of a session, in a versioned schema."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from pytest_edgeload.base import decoding, kernel_text
from pytest_edgeload.base.text import printable
from pytest_edgeload.results.record import SCHEMA, Record

_VERSIONS = ("pytest-edgeload", "pytest", "torch")


class Machine(msgspec.Struct, frozen=True):
    """The machine that the records were measured on."""

    processor: str
    processors: int
    memory_bytes: int
    kernel: str
    python: str
    torch: str

    @property
    def key(self) -> str:
        """The kind of machine, as a folder name: processor and memory, without versions of software."""
        words = f"{self.processors}x {self.processor} {round(self.memory_bytes / (1 << 30))}G"
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


class Commit(msgspec.Struct, frozen=True):
    """The state of the project's repository."""

    id: str
    branch: str
    is_dirty: bool


class Document(msgspec.Struct, frozen=True):
    """Records with the time, machine, settings and commit of their measurement.

    `project` is the name of the project, and `command` the command line that measured. `hosts` are the machines by
    name if the session measured on several; then `machine` is all that they have in common.
    """

    schema: int
    created: str
    machine: Machine
    settings: dict[str, str]
    records: tuple[Record, ...]
    commit: Commit | None = None
    versions: dict[str, str] = {}
    project: str = ""
    command: str = ""
    hosts: dict[str, Machine] = {}

    @property
    def is_simulated(self) -> bool:
        """Whether nothing was measured: all records are of simulations."""
        return bool(self.records) and all(record.case.is_simulated for record in self.records)

    def summary(self) -> Document:
        """Return the document without task spans and time lines."""
        records = tuple(
            Record(r.case, tuple(m.summary() for m in r.rounds), tuple(m.summary() for m in r.retried))
            for r in self.records
        )
        return msgspec.structs.replace(self, records=records)


class _Head(msgspec.Struct):
    schema: int


def document(
    records: Sequence[Record],
    settings: Mapping[str, str],
    project: Path,
    command: str = "",
    versions: Mapping[str, str] | None = None,
    measured_on: Machine | None = None,
    hosts: Mapping[str, Machine] | None = None,
) -> Document:
    """Return `records` with a description of the machine, of `project`, and of the repository that contains it.

    `versions` are those of the packages that were measured, by name. They were measured on this machine, or else on
    `measured_on`, which is all that `hosts` have in common.
    """
    return Document(
        schema=SCHEMA,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        machine=measured_on or machine(),
        settings=dict(settings),
        records=tuple(records),
        commit=commit(project),
        versions={name: importlib.metadata.version(name) for name in _VERSIONS} | dict(versions or {}),
        project=_project_name(project),
        command=command,
        hosts=dict(hosts or {}),
    )


def _project_name(folder: Path) -> str:
    """Return the name in the project's pyproject.toml, or else that of its folder."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"])
    return folder.name


def render(document: Document) -> bytes:
    """Return `document` as JSON."""
    return msgspec.json.encode(document)


def parse(text: bytes) -> Document:
    """Return the document in `text`. Raises ValueError if it is not one, has another schema, or repeats a case."""
    try:
        schema = decoding.decode(text, _Head).schema
        document = decoding.decode(text, Document) if schema == SCHEMA else None
    except ValueError as error:
        raise ValueError(f"not a file of records ({error})") from error
    if document is None:
        raise ValueError(f"its schema is {schema}, but this version reads {SCHEMA}")
    cases = [record.case for record in document.records]
    if len({*cases}) < len(cases):
        raise ValueError("it has two records of the same case")  # a comparison could use either
    return document


def machine() -> Machine:
    """Return the description of this machine."""
    return Machine(
        processor=_processor(),
        processors=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        kernel=platform.release(),
        python=platform.python_version(),
        torch=importlib.metadata.version("torch"),
    )


def _processor() -> str:
    with suppress(OSError):
        lines = kernel_text.lines(kernel_text.read("/proc/cpuinfo"))
        return printable(next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""))
    return platform.processor()


def commit(project: Path) -> Commit | None:
    """Return the state of the Git repository that contains `project`; None without a repository or without Git."""
    with suppress(OSError, subprocess.CalledProcessError):
        head = _git(project, "rev-parse", "HEAD")
        return Commit(
            head, _git(project, "rev-parse", "--abbrev-ref", "HEAD"), bool(_git(project, "status", "--porcelain"))
        )
    return None


def _git(project: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(project), *words],  # noqa: S607  # the user's own git, found by the user's PATH
        check=True, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    return done.stdout.strip()
