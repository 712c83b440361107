"""Tests that a plugin runs again after a failure: the last attempt is judged, and all attempts are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.plugin.gating import SessionGate
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry
from pytest_edgeload.results.threshold import Ceiling
from tests.cases import CASE
from tests.plugin.sessions import Begin, write

CEILINGS = (Ceiling.parse("peak", "100M"),)
TEST = f"{CASE.test}[bulk-round0]"


def entry(attempt: int, peak_bytes: int) -> Entry:
    """Return the measurement of an attempt."""
    measurement = Measurement(outcome="ok", attempt=attempt, peak_bytes=peak_bytes)
    return Entry(CASE, measurement, f"{attempt}.json")


def test_attempt_that_does_not_count_is_not_judged() -> None:
    """A case is judged once, by its last attempt."""
    gate = SessionGate(Gate(), 1, [TEST])
    gate.note(TEST, [entry(0, 200 << 20)], CEILINGS)
    assert gate.findings == []
    assert gate.take(TEST, [entry(1, 50 << 20)], CEILINGS) == []
    assert [finding.verdict for finding in gate.findings] == ["ok"]


def test_attempt_after_a_verdict_replaces_it() -> None:
    """A test that runs again after its case was judged, because its teardown failed, has one verdict."""
    gate = SessionGate(Gate(), 1, [TEST])
    assert [finding.verdict for finding in gate.take(TEST, [entry(0, 200 << 20)], CEILINGS)] == ["regressed"]
    assert gate.take(TEST, [entry(1, 50 << 20)], CEILINGS) == []
    assert [finding.verdict for finding in gate.findings] == ["ok"]


FLAKY = """
import sys
import pytest

attempts = []

@pytest.fixture
def program(tmp_path):
    script = tmp_path / "script.py"
    is_first = not attempts
    script.write_text(f"import sys; held = bytearray({100 << 20} * {is_first}); sys.exit({is_first})")
    return [sys.executable, script]

@pytest.mark.edge_threshold(peak="90M")
def test_flaky(edge, program):
    attempts.append(edge.command(program).outcome)
    assert attempts[-1] == "ok"
"""


@pytest.mark.parametrize("processes", ["0", "1"], ids=["alone", "xdist"])
def test_last_attempt_counts_with_rerunfailures(begin: Begin, tmp_path: Path, processes: str) -> None:
    """A test that passes when pytest-rerunfailures runs it again passes the gate, and its first attempt is kept."""
    pytest.importorskip("pytest_rerunfailures", reason="needs pytest-rerunfailures")
    folder = write(tmp_path, test_tiny=FLAKY)
    rerun = ("-p", "pytest_rerunfailures", "--reruns=1", "-n", processes)
    ended = begin(folder, *rerun, "--edge-strict", "--edge-json=out.json", "--junitxml=junit.xml").end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(["1 ok", "*1 passed, 1 rerun*"])
    ended.lines.fnmatch_lines_random(["measurements of failed attempts, kept in the records but not counted: 1"])
    [record] = ended.records
    assert [(m.attempt, m.outcome) for m in record.rounds] == [(1, "ok")]
    assert [(m.attempt, m.outcome) for m in record.retried] == [(0, "crashed")]
    names = [item.attrib["name"] for item in ended.tests["test_flaky"].iter("property")]
    assert names.count("edgeload") == 1
    assert "edgeload.outcome" in names
    assert not any(name.startswith("edgeload.2.") for name in names)
