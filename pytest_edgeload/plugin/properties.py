"""The user properties of a test: each measurement packed for xdist's controller, and in words for JUnit's XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.own import own_figures, stream_figures
from pytest_edgeload.results.record import Entry, Record
from pytest_edgeload.results.statistics import lacking, value_of

PROPERTY = "edgeload"
"""The name of the property that has a measurement, as one JSON string."""

_WORD = re.compile(rf"{PROPERTY}(\.(?P<number>\d{{1,9}}))?\.[a-z]\w*", re.ASCII)


def properties(entry: Entry, earlier: Sequence[tuple[str, object]], *, is_whole: bool = False) -> list[tuple[str, str]]:
    """Return the properties of an entry: the packed entry, and one for each key of its case and each metric.

    These have names like `edgeload.makespan_s`, or `edgeload.2.makespan_s` if `earlier`, the properties that the test
    already has, contain one measurement. If it `is_whole`, spans and timeline are packed as well, because the
    controller cannot read the file of the run.
    """
    case, measurement = entry.case, entry.measurement
    values = {
        name: getattr(case, name) for name in ("workload", "policy", "host", "device", "limit", "reader", "store")
    }
    values["outcome"] = measurement.outcome
    values |= {name: measurement.value(name) for name in METRICS if name != "response_s"}
    values |= {figure.metric: measurement.value(figure.metric) for figure in stream_figures([_record(entry)])}
    values |= _own(entry)
    count = _count(earlier)
    start = PROPERTY if count == 0 else f"{PROPERTY}.{count + 1}"
    words = [(f"{start}.{name}", str(value)) for name, value in values.items() if value is not None]
    return [(PROPERTY, pack(entry, is_whole=is_whole)), *words]


def _record(entry: Entry) -> Record:
    return Record(entry.case, (entry.measurement,))


def _own(entry: Entry) -> dict[str, float]:
    """Return the metrics that the program reported; a series as those statistics that it has enough numbers for."""
    values: dict[str, float] = {}
    for figure in own_figures([_record(entry)]):
        value = entry.measurement.value(figure.metric)
        if not isinstance(value, tuple):
            values[str(figure)] = value
        elif not lacking([value], figure.stat) and (statistic := value_of([value], figure.stat)) is not None:
            values[str(figure)] = statistic
    return values


def without_measurements(user_properties: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    """Return the properties of a test without those of its measurements."""
    return [(name, text) for name, text in user_properties if name.partition(".")[0] != PROPERTY]


def _count(earlier: Sequence[tuple[str, object]]) -> int:
    """Return the number of measurements among the properties, which is in the names of the last one."""
    names = (_WORD.fullmatch(name) for name, _ in reversed(earlier))
    last = next(filter(None, names), None)
    return 0 if last is None else int(last["number"] or 1)


def entries_in(user_properties: Iterable[tuple[str, object]]) -> Iterator[Entry]:
    """Yield the entries among the properties of a test. Skips properties of that name that a test recorded itself."""
    for name, text in user_properties:
        if name == PROPERTY:
            with suppress(ValueError):
                yield unpack(str(text))


def slim(user_properties: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    """Return the properties of a test without the spans and timelines of its measurements."""
    return [(name, _slim(str(text)) if name == PROPERTY else text) for name, text in user_properties]


def _slim(text: str) -> str:
    try:
        return pack(unpack(text))
    except ValueError:  # a property of that name that the test recorded itself
        return text


def pack(entry: Entry, *, is_whole: bool = False) -> str:
    """Return the entry as one JSON string, which crosses xdist, without spans and timeline unless it `is_whole`."""
    if is_whole:
        return msgspec.json.encode(entry).decode()
    return msgspec.json.encode(msgspec.structs.replace(entry, measurement=entry.measurement.summary())).decode()


def unpack(text: str) -> Entry:
    """Return the entry of a string that `pack` returned. Raises ValueError."""
    return decoding.decode(text, Entry)
