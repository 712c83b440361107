"""Records as JSON, in the versioned schema that everything else reads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping, Sequence

import msgspec
import psutil

from pytest_edgeload.results.record import SCHEMA, Record


class Machine(msgspec.Struct, frozen=True):
    """What the records were measured on."""

    processor: str
    processors: int
    memory_bytes: int
    kernel: str
    python: str
    torch: str


class Document(msgspec.Struct, frozen=True):
    """A file of records."""

    schema: int
    created: str
    machine: Machine
    settings: dict[str, str]
    records: tuple[Record, ...]


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
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def render(records: Sequence[Record], settings: Mapping[str, str]) -> bytes:
    """Return the document that holds `records`."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = Document(SCHEMA, created, machine(), dict(settings), tuple(records))
    return msgspec.json.encode(document)


def parse(text: bytes) -> Document:
    """Return the document that `text` holds. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return msgspec.json.decode(text, type=Document)
