"""What of a session is judged, and what of it fails."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.document import Document, document
from pytest_edgeload.results.record import Case, Measurement, Record
from pytest_edgeload.results.rules import Rules
from pytest_edgeload.results.threshold import parse_thresholds

CASE = Case(
    test="test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="cgroup2",
    swap="8G",
    limit="512M",
    constraints=Constraints(512 << 20, threads=2),
)


def _record(policy: str, peak_bytes: int) -> Record:
    rounds = (Measurement(outcome="ok", round=i, makespan_s=1.0, peak_bytes=peak_bytes) for i in range(2))
    return Record(msgspec.structs.replace(CASE, policy=policy), tuple(rounds))


def _session(*records: Record) -> Document:
    return document(records, {}, Path(__file__).parent)


def _verdicts(rules: Rules, *records: Record) -> list[tuple[str, str]]:
    return [(found.case.policy, found.verdict) for found in rules.judge_all(records)]


BEFORE = _session(_record("bulk", 100), _record("linear", 50), _record("gone", 1))


def test_judge_all() -> None:
    """Every case is judged by every threshold; what only one side has is new or missing."""
    rules = Rules(parse_thresholds("peak:10,swap_in:0"), BEFORE)
    found = _verdicts(rules, _record("bulk", 105), _record("linear", 70), _record("fresh", 1))
    assert found == [
        ("bulk", "ok"),
        ("bulk", "invalid"),
        ("linear", "regressed"),
        ("linear", "invalid"),
        ("fresh", "new"),
        ("fresh", "new"),
        ("gone", "missing"),
    ]


def test_a_reference_is_no_case() -> None:
    """A reference is not compared with itself."""
    rules = Rules(parse_thresholds("peak/bulk:10%"), BEFORE)
    assert _verdicts(rules, _record("bulk", 100), _record("linear", 70), _record("gone", 1))[0][0] == "linear"


def test_without_anything_to_judge_by() -> None:
    """Without a threshold, or a baseline, there is no verdict."""
    assert Rules((), BEFORE).judge_all([_record("bulk", 1000)]) == []
    assert Rules(parse_thresholds("peak:10")).judge_all([_record("bulk", 1000)]) == []


def test_what_fails() -> None:
    """Regressions fail; where strict, so does whatever cannot be judged."""
    thresholds = parse_thresholds("peak:10")
    records = [_record("bulk", 200), _record("linear", 20), _record("fresh", 1)]
    for is_strict, expected in ((False, {"regressed"}), (True, {"regressed", "new", "missing"})):
        rules = Rules(thresholds, BEFORE, is_strict=is_strict)
        assert {found.verdict for found in rules.judge_all(records) if rules.fails(found)} == expected
