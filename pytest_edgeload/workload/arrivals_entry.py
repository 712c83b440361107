"""Arrival processes as workload files describe them, and the types of fields that both forms of a file have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pytest_edgeload.workload.arrivals import (
    Constant,
    Exponential,
    Gamma,
    Normal,
    Periodic,
    Poisson,
    Process,
    RecordedUnit,
    Trace,
    Uniform,
    Weibull,
)
from pytest_edgeload.workload.source import Source

Text = Annotated[str, Meta(min_length=1)]
InputName = Annotated[str, Meta(pattern=r"^\w+$")]
Index = Annotated[int, Meta(ge=0, lt=1 << 31)]
Steps = Annotated[int, Meta(ge=1, lt=1 << 31)]
Seed = Annotated[int, Meta(ge=0, lt=1 << 53)]
Seconds = Annotated[float, Meta(gt=0)]


class TraceEntry(msgspec.Struct, frozen=True, tag="trace", tag_field="process", forbid_unknown_fields=True):
    """Recorded times: `at_s`, in seconds after the start; or `at` or a `file`, which are sorted and shifted to 0 s.

    `at` contains numbers in `unit` (default: s) or dates. `file` is CSV or JSON Lines with the times in `column`.
    """

    at_s: tuple[float, ...] | UnsetType = UNSET
    at: Annotated[tuple[int | float | str, ...], Meta(min_length=1)] | UnsetType = UNSET
    file: Text | UnsetType = UNSET
    column: Text | UnsetType = UNSET
    unit: RecordedUnit | UnsetType = UNSET


Arrivals = Constant | Periodic | Uniform | Normal | Exponential | Poisson | Gamma | Weibull | TraceEntry

PROCESS_BY_TAG: Mapping[str, type[msgspec.Struct]] = {
    str(process.__struct_config__.tag): process for process in get_args(Arrivals)
}

TIMES: Mapping[str, Sequence[str]] = {"at_s": (), "at": ("unit",), "file": ("unit", "column")}
"""The fields that contain the times of a trace, one of which is given, and the fields that may go with each."""


def process_of(entry: Arrivals, source: Source, path: str) -> Process:
    """Return the process that the file describes at `path`. Raises UsageError."""
    return _trace(entry, source, path) if isinstance(entry, TraceEntry) else entry


def times_path(source: Source, path: str) -> str:
    """Return the path of the times of the process at `path`, or `path` if it has none of its own."""
    paths = (f"{path}.{name}" for name in TIMES)
    return next((times for times in paths if times in source), path)


def _trace(entry: TraceEntry, source: Source, path: str) -> Trace:
    given = [name for name in TIMES if getattr(entry, name) is not UNSET]
    if len(given) != 1:
        raise source.error(path, f"has {' and '.join(given) or 'no times'}", f"give one of {', '.join(TIMES)}")
    for name in ("unit", "column"):
        if getattr(entry, name) is not UNSET and name not in TIMES[given[0]]:
            takers = [times for times, others in TIMES.items() if name in others]
            hint = f"leave it out, or give the times as {' or '.join(takers)}"
            raise source.error(f"{path}.{name}", f"does not go with {given[0]}", hint)
    unit = None if entry.unit is UNSET else entry.unit
    if entry.file is not UNSET:
        return Trace.load(source.folder / entry.file, column=None if entry.column is UNSET else entry.column, unit=unit)
    try:
        if entry.at is not UNSET:
            return Trace.of(entry.at, unit=unit)
        return Trace(() if entry.at_s is UNSET else entry.at_s)
    except ValueError as error:
        raise source.error(f"{path}.{given[0]}", str(error)) from None
