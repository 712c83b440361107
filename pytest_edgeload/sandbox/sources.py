"""Reads a program's own metrics from their sources after a run: its output, its answer, and the files that it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pytest_edgeload.base import files
from pytest_edgeload.results.json_values import document, is_series, to_number
from pytest_edgeload.results.reported import ReportedValue
from pytest_edgeload.results.source import GROUP, JsonPath, MetricSource, Pattern
from pytest_edgeload.sandbox.matching import matches

_MAX_FILE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class ProgramOutput:
    """The standard output and standard error of a run, read when they are needed, and the answer of a service."""

    out: Callable[[], str]
    errors: Callable[[], str]
    answer: object = None

    @property
    def text(self) -> str:
        """The text that expressions are matched in: an answer that is text, or all output."""
        return self.answer if isinstance(self.answer, str) else f"{self.out()}\n{self.errors()}"

    def document(self) -> object:
        """Return the JSON that paths lead through. Raises ValueError."""
        if isinstance(self.answer, str):
            return document("the answer", self.answer)
        return document("standard output", self.out()) if self.answer is None else self.answer


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a program's metrics, and the state of their files before the run. `folder` is the program's."""

    metrics: Mapping[str, MetricSource]
    folder: Path
    before: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def before_run(cls, metrics: Mapping[str, MetricSource], folder: Path) -> Self:
        """Return the sources of a program that is about to start."""
        names = {source.place.file for source in metrics.values() if isinstance(source.place, JsonPath)}
        return cls(metrics, folder, {name: _state(folder / name) for name in names if name})

    def reports(self, output: ProgramOutput) -> Iterator[ReportedValue]:
        """Yield a report on each metric, with a value or a fault."""
        for name, source in self.metrics.items():
            try:
                value, fault = self._value(source, output), ""
            except ValueError as error:
                value, fault = None, str(error)
            yield ReportedValue(name, value, source.unit, source.better, is_series=is_series(value), fault=fault)

    def _value(self, source: MetricSource, output: ProgramOutput) -> object:
        """Return the value of a metric. Raises ValueError with the reason if it has none."""
        place = source.place
        if isinstance(place, Pattern):
            return _matched(place, output)
        return place.find(self._document(place.file) if place.file else output.document())

    def _document(self, name: str) -> object:
        """Return the JSON in a file that the program wrote. Raises ValueError."""
        path = self.folder / name
        if _state(path) == self.before[name]:
            raise ValueError(f"the run did not write {name}")
        try:
            text = files.read(path, _MAX_FILE_BYTES)
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror}") from None
        return document(name, text.decode(errors="replace"))


def _matched(place: Pattern, output: ProgramOutput) -> object:
    """Return the number, or the numbers of a series, that an expression matches. Raises ValueError."""
    found = [to_number(text) for text in matches(place.expression, GROUP, output.text)]
    if not found:
        raise ValueError(f"/{place.expression}/ matches nothing in the output")
    if place.is_series:
        return found
    if len(found) > 1:
        raise ValueError(f"/{place.expression}/ matches {len(found)} times; /.../g makes a series of them")
    return found[0]


def _state(path: Path) -> object:
    """Return values that change when a file is written; None without a file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
