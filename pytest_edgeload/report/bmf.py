"""Bencher Metric Format, as `bencher run --adapter json` reads it: benchmark -> measure -> value and interval."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from pytest_edgeload.report.services import told
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding
from pytest_edgeload.results.statistics import Estimate

_LONGEST = 1024  # characters that the name of a benchmark may have there


def render(document: Document, findings: Sequence[Finding], view: View) -> str:  # noqa: ARG001  # it judges itself
    """Return a benchmark for each case, and a measure for each of its figures, called as the metric, unit included."""
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for one in told(document.records, view):
        benchmarks.setdefault(_name(one.case), {})[one.column.name] = _metric(one.found)
    return msgspec.json.format(msgspec.json.encode(benchmarks), indent=1).decode()


def _name(case: str) -> str:
    """Return what the benchmark of a case is called; of those too long, the ends tell them apart."""
    if len(case) <= _LONGEST:
        return case
    digest = hashlib.sha256(case.encode()).hexdigest()[:16]
    return f"{case[: _LONGEST - len(digest) - 1]} {digest}"


def _metric(found: Estimate) -> dict[str, float]:
    ends = found.interval
    return {"value": found.value} | ({} if ends is None else {"lower_value": ends.low, "upper_value": ends.high})
