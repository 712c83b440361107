"""The metrics that a program reported about itself in a run: checked and joined. A fault is a sentence for its row."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.text import printable
from pytest_edgeload.results.json_values import is_series, numbers, thinned
from pytest_edgeload.results.metric import MAX_UNIT_CHARACTERS, OwnMetric, implied
from pytest_edgeload.results.naming import check_own_name
from pytest_edgeload.results.source import DIRECTIONS

_MAX_METRICS = 100
_MAX_NOTICES = 5


@dataclass(frozen=True, slots=True)
class ReportedValue:
    """A value that one source gave for a metric, or the `fault` why it gave none.

    Reports of one name whose `is_series` is true are joined. `unit` and `better` follow from the name if they are None.
    `interval` is the 95 % interval of a statistic.
    """

    name: str
    value: object = None
    unit: object = None
    better: object = None
    is_series: bool = False
    fault: str = ""
    interval: tuple[float, float] | None = None


def parse_report(message: bytes) -> ReportedValue:
    """Return the report in the JSON of `inside.record`. Anything else is a report with a fault."""
    try:
        fields: dict[str, Any] = json.loads(message)
        return ReportedValue(
            str(fields["name"]), fields["value"], fields["unit"], fields["better"], is_series=bool(fields["series"])
        )
    except (ValueError, RecursionError, LookupError, TypeError):
        return ReportedValue("a message", fault="it is not a report of pytest_edgeload.record")


def gather(reports: Iterable[ReportedValue]) -> tuple[dict[str, OwnMetric], tuple[str, ...]]:
    """Return the metrics by name, and a sentence about each metric that is left out."""
    by_name: dict[str, list[ReportedValue]] = {}
    for report in reports:
        by_name.setdefault(report.name, []).append(report)
    metrics: dict[str, OwnMetric] = {}
    faults: list[str] = []
    for name, own in by_name.items():
        try:
            metrics[name] = _metric(name, own)
        except ValueError as error:
            faults.append(printable(f"its metric {reprlib.repr(name)[1:-1]} is left out: {error}"))
    faults += [f"its metric {name} is left out: a run has at most {_MAX_METRICS}" for name in [*metrics][_MAX_METRICS:]]
    return {name: metrics[name] for name in [*metrics][:_MAX_METRICS]}, _bounded(faults)


def _bounded(faults: Sequence[str]) -> tuple[str, ...]:
    if len(faults) <= _MAX_NOTICES:
        return tuple(faults)
    return (*faults[:_MAX_NOTICES], f"{len(faults) - _MAX_NOTICES} more of its metrics are left out")


def _metric(name: str, reports: Sequence[ReportedValue]) -> OwnMetric:
    """Return the metric of these reports. Raises ValueError with the reason why there is none."""
    fault = next((report.fault for report in reports if report.fault), "")
    if fault:
        raise ValueError(fault)
    _check_name(name)
    if len(reports) > 1 and not all(report.is_series for report in reports):
        raise ValueError(f"it was reported {len(reports)} times; series=True keeps every value")
    first = reports[0]
    found = [number for report in reports for number in numbers(report.value)]
    if not found:
        raise ValueError("the list is empty")
    metric = implied(name)
    return OwnMetric(
        thinned(found) if first.is_series or is_series(first.value) else found[0],
        metric.unit if first.unit is None else _unit(first.unit),
        metric.better if first.better is None else _direction(first.better),
        first.interval,
    )


def _check_name(name: str) -> None:
    try:
        check_own_name(name)
    except UsageError as error:
        raise ValueError(f"{error.reason}; {error.hint}") from None


def _unit(unit: object) -> str:
    if not isinstance(unit, str) or len(unit) > MAX_UNIT_CHARACTERS:
        raise ValueError(f"unit={reprlib.repr(unit)} is not a text of at most {MAX_UNIT_CHARACTERS} characters")
    return printable(unit)


def _direction(better: object) -> Any:
    if better not in DIRECTIONS:
        raise ValueError(f"better={reprlib.repr(better)} is not a direction; give {' or '.join(DIRECTIONS)}")
    return better
