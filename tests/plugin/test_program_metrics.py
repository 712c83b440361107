"""A program's own metrics in a session: refused early if they make no sense, recorded, and judged like any other."""

from __future__ import annotations

import pytest

from tests.plugin.sessions import Begin, Ended

TEST = """
import sys
import pytest
from pytest_edgeload import MetricSource, record

KEPT = []

def leak(size):
    KEPT.append(b"x" * size)
    record("kept", len(KEPT), series=True)
    return {"speed": {"tokens_per_s": 8}}

def work(size):
    return len(b"x" * size)

@pytest.mark.edge_threshold(leak="0", tokens_per_s="10")
def test_leaks(edge):
    edge.call(leak, 1 << 20, repeat=20, metrics={"tokens_per_s": "$.speed.tokens_per_s"})

@pytest.mark.edge_threshold(leak="0")
def test_does_not_leak(edge):
    edge.call(work, 1 << 20, repeat=20)

def test_reports(edge):
    code = "print('{\\"wer\\": 0.25, \\"x\\": true}')"
    command = [sys.executable, "-c", code]
    found = edge.command(command, metrics={"wer": MetricSource("$.wer", "%", "lower"), "x": "$.x", "y": "$.y"})
    assert found.own["wer"].unit == "%"

def test_names(edge):
    edge.call(work, 1, metrics=["a b"])

def test_taken(edge):
    edge.call(work, 1, metrics=["makespan_s"])

def test_output(edge):
    edge.call(work, 1, metrics={"x": "/(?P<value>x)/"})

def test_source(edge):
    edge.command(["true"], metrics={"x": "y"})

def test_type(edge):
    edge.command(["true"], metrics={"x": 5})

def test_repeat(edge):
    edge.call(work, 1, repeat=0)
"""


@pytest.fixture(scope="module")
def ended(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session of these tests."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "test_it.py").write_text(TEST)
    return begin(folder, "--edge-mem=256M", "--edge-json=out.json", COLUMNS="250").end()


def test_leak_and_speed_are_judged(ended: Ended) -> None:
    """A leak fails the ceiling 0, and a speed below its floor fails; a function that frees its memory passes."""
    assert ended.status == 1, ended.said
    regressed = "regressed: leak at no limit: "
    for figure in ("leak 1.0M/repetition, limit leak 0", "tokens_per_s 8, limit tokens_per_s 10"):
        assert regressed + figure in ended.said, ended.said
    assert "regressed: work" not in ended.said


def test_metrics_are_recorded(ended: Ended) -> None:
    """The records contain the metrics, and the notices of those that are left out."""
    found = {record.case.policy: record.rounds[0] for record in ended.records}
    assert [*found["leak"].own] == ["repetition_s", "tokens_per_s", "kept", "leak"]
    assert found["leak"].own["kept"].value == tuple(range(1, 21))
    assert found["work"].own["leak"].value == 0
    (name,) = {*found} - {"leak", "work"}
    assert {key: own.value for key, own in found[name].own.items()} == {"wer": 0.25}
    assert found[name].notices[-2:] == (
        "its metric x is left out: it is True instead of a number",
        "its metric y is left out: $ has no 'y', only ['wer', 'x']"
    )  # fmt: skip


def test_wrong_metrics_are_refused(ended: Ended) -> None:
    """A name, a source or a number of repetitions that makes no sense is refused before anything runs."""
    for sentence in (
        "metric 'a b': not a name; use letters, digits and _, such as tokens_per_s",
        "metric makespan_s: this name is taken: every run has it; choose another, such as own_makespan_s",
        "metrics['x']='/(?P<value>x)/': a function has no output; give a path in the value that it returns",
        "source 'y': neither a path in JSON nor a regular expression; try $.tokens_per_s",
        "metrics['x']=5: neither text nor a MetricSource; try {'tokens_per_s': '$.timings.predicted_per_second'}",
        "repeat=0: too small; give at least 1",
    ):
        assert sentence in ended.said, ended.said
