"""Bencher Metric Format, the input of `bencher run --adapter json`: benchmark -> measure -> value and interval."""

from __future__ import annotations

import hashlib

import msgspec

from pytest_edgeload.report.services import entries
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.statistics import Estimate

_MAX_NAME = 1024  # characters in the name of a benchmark, by Bencher's rules


def render(document: Document, judgement: Judgement, view: View) -> str:  # noqa: ARG001  # Bencher has its own
    """Return a benchmark for each case and a measure for each of its figures, named after the metric with its unit."""
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for entry in entries(document.records, view):
        benchmarks.setdefault(_name(entry.case), {})[entry.column.name] = _metric(entry.estimate)
    return msgspec.json.format(msgspec.json.encode(benchmarks), indent=1).decode()


def _name(case: str) -> str:
    """Return the name of the benchmark of a case; a name that is too long ends in its hash, to remain unique."""
    if len(case) <= _MAX_NAME:
        return case
    digest = hashlib.sha256(case.encode()).hexdigest()[:16]
    return f"{case[: _MAX_NAME - len(digest) - 1]} {digest}"


def _metric(estimate: Estimate) -> dict[str, float]:
    ends = estimate.interval
    return {"value": estimate.value} | ({} if ends is None else {"lower_value": ends.low, "upper_value": ends.high})
