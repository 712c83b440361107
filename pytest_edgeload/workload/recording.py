"""Recorded arrival times, as numbers or dates, from lists and from files of CSV or JSON Lines.

They become seconds after the first arrival, in order, with words that say what was changed. Only `load` opens a file.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple, get_args

from pytest_edgeload.base import files
from pytest_edgeload.base.arguments import BadArgument, choice, items, plain, text
from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.base.text import printable
from pytest_edgeload.workload.arrivals import RecordedUnit

MAX_ROWS = 100_000
"""The rows of a file that are read; the traces of a week have millions, and no workload as many requests."""

_MAX_LINE = 1 << 20
_MAX = 1e30  # differences of such numbers are finite in every unit
_PER_SECOND: Mapping[RecordedUnit, float] = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0, "m": 1 / 60, "h": 1 / 3600}
_UNITS: tuple[RecordedUnit, ...] = get_args(RecordedUnit)
_NUMBER = re.compile(r"\s*[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,2})?\s*", re.ASCII)
_DELIMITERS = ",;\t"
_LISTED = 10

_Moment = int | float | datetime
_Row = tuple[int, Mapping[str, Any]]
"""A row of a file: its line, and its values by column."""


class _Format(NamedTuple):
    """A known format of traces: its columns, the one of times, their unit if not dates, and a duration to subtract."""

    columns: frozenset[str]
    column: str
    unit: RecordedUnit | None
    duration: str = ""


_FORMATS = (
    _Format(frozenset({"TIMESTAMP", "ContextTokens", "GeneratedTokens"}), "TIMESTAMP", None),  # Azure LLM inference
    _Format(frozenset({"app", "func", "end_timestamp", "duration"}), "end_timestamp", "s", "duration"),  # and Functions
    _Format(frozenset({"timestamp", "input_length", "output_length"}), "timestamp", "ms"),  # Mooncake
)


class _TimeColumn(NamedTuple):
    """Where the rows of a file have their times, and in which unit."""

    name: str
    unit: RecordedUnit | None
    duration: str = ""


def shifted(times: Iterable[Any], unit: RecordedUnit | None) -> tuple[tuple[float, ...], str]:
    """Return seconds after the first time, in order, and words on how they were made. Raises BadArgument."""
    hint = "give a list of numbers or dates"
    moments = [_moment(f"times[{i}]", each) for i, each in enumerate(items("times", times, hint))]
    at_s, is_sorted = _offsets_s("times", moments, _unit(unit))
    return at_s, _words("recorded" if unit is None else f"recorded in {unit}", is_sorted=is_sorted)


def load(path: str, column: str | None, unit: RecordedUnit | None) -> tuple[tuple[float, ...], str]:
    """Return seconds after the first time in a file, in order, and words on how they were made. Raises UsageError."""
    try:
        with files.open_file(Path(path)) as file:
            return read(file, path, column, unit)
    except OSError as error:
        raise UsageError(path, (error.strerror or str(error)).lower(), "give a file of CSV or JSON Lines") from None


def read(file: IO[bytes], path: str, column: str | None, unit: RecordedUnit | None) -> tuple[tuple[float, ...], str]:
    """Return the same as `load` from an open file. `path` is its name in errors, and its suffix sets the format."""
    unit = _unit(unit)
    rows = _rows(file, path)
    first = next(rows, None)
    if first is None:
        raise UsageError(path, "has no rows", "give a file with one row for each arrival")
    chosen = _column(path, [*first[1]], None if column is None else text("column", column), unit)
    moments = [_cell(path, row, chosen) for row in islice((row for part in ([first], rows) for row in part), MAX_ROWS)]
    at_s, is_sorted = _offsets_s(path, moments, chosen.unit)
    in_unit = "" if isinstance(moments[0], datetime) else f" in {chosen.unit or 's'}"
    name = f"{PurePath(path).name}, {chosen.name}{chosen.duration and f' - {chosen.duration}'}{in_unit}"
    return at_s, _words(printable(f"from {name}"), is_sorted=is_sorted, is_cut=next(rows, None) is not None)


def _words(origin: str, *, is_sorted: bool, is_cut: bool = False) -> str:
    remarks = ["first rows only"] * is_cut + ["shifted to 0 s"] + ["sorted"] * (not is_sorted)
    return ", ".join([origin, *remarks])


def _unit(unit: Any) -> RecordedUnit | None:
    return None if unit is None else choice("unit", unit, _UNITS)


# ---- times ---------------------------------------------------------------------------------------------------------


def _offsets_s(where: str, moments: Sequence[_Moment], unit: RecordedUnit | None) -> tuple[tuple[float, ...], bool]:
    """Return seconds after the earliest moment, in order, and whether the moments were in order. Raises UsageError."""
    dates = [moment for moment in moments if isinstance(moment, datetime)]
    numbers = [moment for moment in moments if not isinstance(moment, datetime)]
    if not moments:
        raise BadArgument(where, "has no times", "give at least one")
    if dates and numbers:
        raise BadArgument(where, f"has both dates ({dates[0]}) and numbers ({numbers[0]})", "give times of one kind")
    if dates:
        if unit is not None:
            raise BadArgument(where, "has dates, which have no unit", f"leave out the unit {unit}")
        ordered_dates = sorted(dates)
        return tuple((each - ordered_dates[0]).total_seconds() for each in ordered_dates), dates == ordered_dates
    ordered = sorted(numbers)  # whole numbers are subtracted exactly; nanoseconds since 1970 are not exact as floats
    per_second = _PER_SECOND[unit or "s"]
    return tuple((number - ordered[0]) / per_second for number in ordered), numbers == ordered


def _moment(name: str, value: Any) -> _Moment:
    """Return a number, a date, or the text of either, as a number or a date with a zone. Raises BadArgument."""
    scalar = plain(value)
    if isinstance(scalar, str):
        scalar = _parsed(scalar)
    if isinstance(scalar, date) and not isinstance(scalar, datetime):
        scalar = datetime.combine(scalar, time.min)
    if isinstance(scalar, datetime):
        return scalar.replace(tzinfo=UTC) if scalar.tzinfo is None else scalar
    if isinstance(scalar, int | float) and not isinstance(scalar, bool) and abs(scalar) <= _MAX:
        return scalar
    raise BadArgument.of(name, value, "neither a number nor a date", "give one such as 1.5 or 2023-11-16 18:15:46")


def _parsed(word: str) -> _Moment | None:
    if _NUMBER.fullmatch(word):
        return float(word) if set(word) & set(".eE") else int(word)
    try:
        return datetime.fromisoformat(word.strip())
    except ValueError:
        return None


# ---- files ---------------------------------------------------------------------------------------------------------


def _column(path: str, columns: Sequence[str], column: str | None, unit: RecordedUnit | None) -> _TimeColumn:
    """Return the column of times: the given one, that of a known format, or the only one. Raises UsageError."""
    known = next((known for known in _FORMATS if known.columns <= {*columns}), None)
    if known is not None and column in {None, known.column}:
        return _TimeColumn(known.column, unit or known.unit, known.duration)
    if column is None and len(columns) != 1:
        listed = ", ".join(columns[:_LISTED]) + (", ..." if len(columns) > _LISTED else "")
        raise UsageError(path, f"has the columns {listed}, and any may have the times", "name it by `column`")
    name = columns[0] if column is None else column
    if name not in columns:
        raise UsageError(path, f"{name!r} is not a column", suggestion(name, columns))
    if _parsed(name) is not None:
        raise UsageError(f"{path}:1", f"{name!r} is not the name of a column", "begin the file with a line of names")
    return _TimeColumn(name, unit)


def _cell(path: str, row: _Row, column: _TimeColumn) -> _Moment:
    """Return the time of a row. Raises UsageError."""
    line, values = row
    names = [column.name, *([column.duration] if column.duration else [])]
    for name in names:
        if values.get(name) is None:
            raise UsageError(f"{path}:{line}", f"has no {name}", "complete or remove the row")
    try:
        moments = [_moment(name, values[name]) for name in names]
    except BadArgument as error:
        raise error.within(f"{path}:{line}", error.hint) from None
    if not column.duration:
        return moments[0]
    end, duration = moments
    if isinstance(end, datetime) or isinstance(duration, datetime):
        raise UsageError(f"{path}:{line}", f"has a date in {' or '.join(names)}", "give numbers")
    return end - duration


def _rows(file: IO[bytes], path: str) -> Iterator[_Row]:
    """Yield the rows of a file. Raises UsageError."""
    readers: Mapping[str, Callable[[Iterator[str], str], Iterator[_Row]]] = {
        **dict.fromkeys((".csv", ".tsv", ".txt"), _csv_rows),
        **dict.fromkeys((".jsonl", ".ndjson"), _json_rows),
    }
    reader = readers.get(PurePath(path).suffix.lower())
    if reader is None:
        raise UsageError(path, "neither CSV nor JSON Lines by its name", f"let it end in {', '.join(readers)}")
    return reader(_lines(file, path), path)


def _lines(file: IO[bytes], path: str) -> Iterator[str]:
    with io.TextIOWrapper(file, "utf-8-sig", "replace") as stream:
        for number in range(1, 1 << 62):
            line = stream.readline(_MAX_LINE)
            if not line:
                return
            if len(line) >= _MAX_LINE:
                raise UsageError(
                    f"{path}:{number}", "the line is too long", "give a file with one row for each arrival"
                )
            yield line


def _csv_rows(lines: Iterator[str], path: str) -> Iterator[_Row]:
    header = next(lines, "")
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader([header], delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    rows = csv.reader(lines, delimiter=delimiter)
    try:
        for values in rows:
            if values:
                yield 1 + rows.line_num, dict(zip(names, values, strict=False))
    except csv.Error as error:
        raise UsageError(f"{path}:{1 + rows.line_num}", f"not CSV: {error}", "save it as CSV") from None


def _json_rows(lines: Iterator[str], path: str) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # JSON, or an integer of thousands of digits
            row = None
        if not isinstance(row, dict):
            raise UsageError(
                f"{path}:{number}", "not an object of JSON", "give one object for each arrival, each on its line"
            )
        yield number, row
