"""The gate judges all cases of a session, and some verdicts fail."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pytest_edgeload.results.document import Document, document
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.record import Measurement, Record
from pytest_edgeload.results.threshold import parse_thresholds
from tests.cases import CASE


def _record(policy: str, peak_bytes: int) -> Record:
    rounds = (Measurement(outcome="ok", round=i, makespan_s=1.0, peak_bytes=peak_bytes) for i in range(2))
    return Record(msgspec.structs.replace(CASE, policy=policy), tuple(rounds))


def _session(*records: Record) -> Document:
    return document(records, {}, Path(__file__).parent)


def _verdicts(gate: Gate, *records: Record) -> list[tuple[str, str]]:
    return [(finding.case.policy, finding.verdict) for finding in gate.judge_all(records)]


BEFORE = _session(_record("bulk", 100), _record("linear", 50), _record("gone", 1))


def test_every_case_is_judged_by_every_threshold() -> None:
    """Every case is judged by every threshold; cases that only one session has are new or missing."""
    gate = Gate(parse_thresholds("peak:10,swap_in:0"), BEFORE)
    found = _verdicts(gate, _record("bulk", 105), _record("linear", 70), _record("fresh", 1))
    assert found == [
        ("bulk", "ok"),
        ("bulk", "invalid"),
        ("linear", "regressed"),
        ("linear", "invalid"),
        ("fresh", "new"),
        ("fresh", "new"),
        ("gone", "missing"),
    ]


def test_reference_is_not_compared_with_itself() -> None:
    """A reference is not compared with itself."""
    gate = Gate(parse_thresholds("peak/bulk:10%"), BEFORE)
    assert _verdicts(gate, _record("bulk", 100), _record("linear", 70), _record("gone", 1))[0][0] == "linear"


def test_without_threshold_or_baseline_there_are_no_findings() -> None:
    """Without a threshold or a baseline there are no findings."""
    assert Gate((), BEFORE).judge_all([_record("bulk", 1000)]) == []
    assert Gate(parse_thresholds("peak:10")).judge_all([_record("bulk", 1000)]) == []


def test_strict_gate_also_fails_undecided_verdicts() -> None:
    """Regressions fail; if the gate is strict, cases that cannot be judged fail as well."""
    thresholds = parse_thresholds("peak:10")
    records = [_record("bulk", 200), _record("linear", 20), _record("fresh", 1)]
    for is_strict, expected in ((False, {"regressed"}), (True, {"regressed", "new", "missing"})):
        gate = Gate(thresholds, BEFORE, is_strict=is_strict)
        assert {finding.verdict for finding in gate.judge_all(records) if gate.fails(finding)} == expected
