"""The work for one measurement and for one report, counted: the same for the first and for the thousandth."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

import msgspec

from pytest_edgeload.plugin.gating import SessionGate
from pytest_edgeload.plugin.properties import properties
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.finding import Finding
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry
from pytest_edgeload.results.threshold import Threshold
from tests.report.virtual import CASE, document
from tests.results.test_judging import record

TESTS = 2000
ROUNDS = 2
WARM = 20  # reports, after which all modules are imported, all caches are full, and coverage has stopped counting


def _case(test: int) -> Case:
    return msgspec.structs.replace(CASE, test=f"test_{test}")


def _reports(gate: SessionGate, test: int) -> list[Finding]:
    """Report both rounds of a test that has become slower."""
    found: list[Finding] = []
    for turn in range(ROUNDS):
        slow = Measurement(outcome="ok", round=turn, makespan_s=2.0, peak_bytes=2000)
        found += gate.take(f"test_{test}[round{turn}]", [Entry(_case(test), slow, f"{test}-{turn}")], ())
    return found


def _calls(done: Callable[[], object]) -> int:
    """Return the number of function calls."""
    count = 0

    def see(_frame: object, event: str, _called: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(see)
    try:
        done()
    finally:
        sys.setprofile(None)
    return count


def _allocated_bytes(done: Callable[[], object]) -> int:
    """Return the peak of allocated memory."""
    tracemalloc.start()
    try:
        done()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_work_per_report_is_constant() -> None:
    """A report costs the same number of calls and little memory, however many tests were judged before."""
    before = document(*(record(1.0, 1.0, case=_case(test), peak_bytes=1000) for test in range(TESTS)))
    measuring = [f"test_{test}[round{turn}]" for test in range(TESTS) for turn in range(ROUNDS)]
    gate = SessionGate(Gate((Threshold.parse("peak:10%"),), before), ROUNDS, measuring)
    for test in range(WARM):
        assert [finding.verdict for finding in _reports(gate, test)] == ["regressed"]
    first = _calls(lambda: _reports(gate, WARM))
    first_bytes = _allocated_bytes(lambda: _reports(gate, WARM + 1))
    for test in range(WARM + 2, TESTS - 2):
        _reports(gate, test)
    assert len(gate.findings) == TESTS - 2
    assert abs(_calls(lambda: _reports(gate, TESTS - 2)) - first) <= 8  # a dictionary that grows may be copied
    assert _allocated_bytes(lambda: _reports(gate, TESTS - 1)) < first_bytes + (32 << 10)
    assert first_bytes < 1 << 20


def test_properties_of_the_thousandth_measurement_cost_the_same() -> None:
    """The properties of a measurement cost the same number of calls, however many the test already has."""
    entry = Entry(CASE, Measurement(outcome="ok", makespan_s=1.0))
    earlier = properties(entry, [])
    first = _calls(lambda: properties(entry, earlier))
    for _ in range(TESTS - 1):
        earlier += properties(entry, earlier)
    assert earlier[-1][0].startswith(f"edgeload.{TESTS}.")
    assert _calls(lambda: properties(entry, earlier)) <= first + 8
