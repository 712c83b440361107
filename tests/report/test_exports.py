"""Exports for services: Bencher Metric Format and the custom JSON of github-action-benchmark."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.columns import full_name
from pytest_edgeload.results.document import parse
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import estimate
from tests.report.documents import document, record, view

FIGURES = {name: 7.0 if metric.unit in {"s", "ratio", "1/s"} else 7 for name, metric in METRICS.items()}
FIGURES["response_s"] = (7.0,)  # type: ignore[assignment]
SECONDS = (1.0, 2.0, 4.0)
BULK = record("bulk", *(FIGURES | {"makespan_s": seconds} for seconds in SECONDS))
ONCE = record("linear", {"makespan_s": 3.0})
KILLED = record("never", {"outcome": "oom", "makespan_s": 9.0})


def export(name: str, *records: Record, **changes: Any) -> Any:
    """Return the decoded export of `records`."""
    return json.loads(FORMATS[name](document(*records), Judgement(), view(**changes)))


def test_bmf_has_values_and_intervals() -> None:
    """A case is a benchmark; each metric is a measure with its value and the ends of its interval."""
    found = export("bmf", BULK, ONCE, KILLED)
    assert list(found) == [full_name(BULK.case), full_name(ONCE.case)], "what never went well has no figures"
    interval = estimate([[s] for s in SECONDS])
    assert interval is not None
    assert interval.interval is not None
    assert found[full_name(BULK.case)]["makespan_s"] == {
        "value": 2.0,
        "lower_value": interval.interval.low,
        "upper_value": interval.interval.high,
    }
    assert found[full_name(BULK.case)].keys() == METRICS.keys() - {"response_s"}
    assert found[full_name(ONCE.case)] == {"makespan_s": {"value": 3.0}}, "one round has no interval"


@pytest.mark.parametrize(("name", "better"), [("gab", "lower"), ("gab-bigger", "higher")])
def test_gab_file_has_metrics_of_one_direction(name: str, better: str) -> None:
    """Each file has the metrics of one direction and names it; points have the fields of the service."""
    found = export(name, BULK)
    wanted = [metric for metric, known in METRICS.items() if known.better == better and metric != "response_s"]
    assert [entry["name"] for entry in found] == [f"{full_name(BULK.case)}: {metric}" for metric in wanted]
    assert [entry["unit"] for entry in found] == [METRICS[metric].unit for metric in wanted]
    for entry in found:
        assert {key: type(value) for key, value in entry.items()} == {
            "name": str, "unit": str, "value": float, "range": str, "extra": str,
        }  # fmt: skip
        assert entry["extra"] == f"median of 3 rounds; {better} is better; the range is its 95 % interval"


def test_gab_of_one_round_has_no_range() -> None:
    """A single round has no range and no words about one."""
    [entry] = export("gab", ONCE)
    assert entry == {
        "name": f"{full_name(ONCE.case)}: makespan_s",
        "unit": "s",
        "value": 3.0,
        "extra": "median of 1 round; lower is better",
    }


@pytest.mark.parametrize("name", ["bmf", "gab"])
def test_chosen_figures_are_exported(name: str) -> None:
    """The figures among the chosen columns are exported, except percentiles of too few samples."""
    found = export(name, BULK, columns=("makespan.max", "peak", "outcome", "ratio", "response.p90"))
    names = found[full_name(BULK.case)] if name == "bmf" else [e["name"].rpartition(": ")[2] for e in found]
    assert list(names) == ["makespan_s.max", "peak_bytes"]


@pytest.mark.parametrize(("name", "empty"), [("bmf", {}), ("gab", []), ("gab-bigger", [])])
def test_no_records_have_no_figures(name: str, empty: object) -> None:
    """Without records there are no figures."""
    assert export(name) == empty


def test_json_has_the_whole_document() -> None:
    """JSON contains the whole document with any view."""
    made = document(BULK, KILLED)
    assert parse(FORMATS["json"](made, Judgement(), view(columns=("peak",))).encode()) == made
