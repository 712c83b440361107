"""The gate of a session settles the regressions of all cases together, while the reports arrive."""

from __future__ import annotations

import random

import msgspec
import pytest

from pytest_edgeload.plugin.gating import SessionGate
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry, Record
from pytest_edgeload.results.threshold import parse_thresholds
from tests.cases import CASE
from tests.report.virtual import document

TESTS, ROUNDS = 40, 5


def _record(test: int, seconds: float) -> Record:
    drawn = random.Random(f"{test} {seconds}")
    rounds = (Measurement(outcome="ok", round=i, makespan_s=seconds * drawn.uniform(1, 1.05)) for i in range(ROUNDS))
    return Record(msgspec.structs.replace(CASE, test=f"t_{test}"), tuple(rounds))


def _gate(*, is_strict: bool) -> SessionGate:
    before = document(*(_record(test, 1.0) for test in range(TESTS)))
    ids = [f"t_{test}[round{i}]" for test in range(TESTS) for i in range(ROUNDS)]
    return SessionGate(Gate(parse_thresholds("makespan:10%"), before, is_strict=is_strict), ROUNDS, ids)


def _report(gate: SessionGate, record: Record) -> list[str]:
    """Report all rounds of a test. Return the verdicts that fail its last report, with their tests."""
    failing = []
    for i, measurement in enumerate(record.rounds):
        entry = Entry(record.case, measurement, f"{record.case.test} {i}")
        failing += gate.take(f"{record.case.test}[round{i}]", [entry], ())
    return [f"{finding.case.test} {finding.verdict}" for finding in failing]


def test_later_regression_makes_earlier_ones_certain() -> None:
    """With few rounds a single slower test is not certain; the report that makes it certain names it."""
    gate, slower = _gate(is_strict=False), [_record(test, 1.5) for test in range(TESTS)]
    assert _report(gate, slower[0]) == []
    reports = [_report(gate, record) for record in slower[1:]]
    first = next(report for report in reports if report)
    assert first == [f"t_{test} regressed" for test in range(len(first))]
    assert len(first) > 1
    assert [line for report in reports for line in report] == [f"t_{test} regressed" for test in range(TESTS)]
    assert gate.finish(slower) == []


def test_lonely_regression_is_inconclusive_at_the_end() -> None:
    """A slower test without company is inconclusive, with the number of rounds that it would need alone."""
    gate, records = _gate(is_strict=False), [_record(test, 1.5 if test == 0 else 1.0) for test in range(TESTS)]
    assert [report for record in records if (report := _report(gate, record))] == []
    assert gate.finish(records) == []
    [undecided] = [finding for finding in gate.findings if finding.verdict != "ok"]
    assert undecided.reason == "5 of 6 rounds per side that 40 comparisons of times need"


@pytest.mark.parametrize("seconds", [1.5, 1.0])
def test_strict_gate_does_not_wait(seconds: float) -> None:
    """A strict gate fails a test that may have regressed at once, as its own report."""
    expected = ["t_0 inconclusive"] if seconds > 1 else []
    assert _report(_gate(is_strict=True), _record(0, seconds)) == expected
