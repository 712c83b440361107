"""The gate judges all cases of a session, and some verdicts fail."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.results.document import Document, document
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.metric import OwnMetric
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.stream_stats import StreamStats
from pytest_edgeload.results.threshold import Ceiling, parse_thresholds
from tests.cases import CASE


def _record(policy: str, peak_bytes: int) -> Record:
    rounds = (Measurement(outcome="ok", round=i, makespan_s=1.0, peak_bytes=peak_bytes) for i in range(2))
    return Record(msgspec.structs.replace(CASE, policy=policy), tuple(rounds))


def _session(*records: Record) -> Document:
    return document(records, {}, Path(__file__).parent)


def _verdicts(gate: Gate, *records: Record) -> list[tuple[str, str]]:
    return [(finding.case.policy, finding.verdict) for finding in gate.judge_all(records).findings]


BEFORE = _session(_record("bulk", 100), _record("linear", 50), _record("gone", 1))


def test_every_case_is_judged_by_every_threshold() -> None:
    """Every case is judged by every threshold; cases that only one session has are new or missing."""
    gate = Gate(parse_thresholds("peak:10B,swap_in:0"), BEFORE)
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
    assert Gate((), BEFORE).judge_all([_record("bulk", 1000)]).findings == ()
    assert Gate(parse_thresholds("peak:10B")).judge_all([_record("bulk", 1000)]).findings == ()


def test_strict_gate_also_fails_undecided_verdicts() -> None:
    """Regressions fail; if the gate is strict, cases that cannot be judged fail as well."""
    thresholds = parse_thresholds("peak:10B")
    records = [_record("bulk", 200), _record("linear", 20), _record("fresh", 1)]
    for is_strict, expected in ((False, {"regressed"}), (True, {"regressed", "new", "missing"})):
        gate = Gate(thresholds, BEFORE, is_strict=is_strict)
        assert {finding.verdict for finding in gate.judge_all(records).findings if gate.fails(finding)} == expected


@pytest.mark.parametrize(
    ("limits", "before", "policies", "sentence"),
    [
        ("peak/bulk:10%", BEFORE, ("bulk",), "no case was measured besides bulk itself"),
        ("peak:10B", None, ("bulk",), "there is no baseline"),
        ("peak:10B", BEFORE, ("fresh", "fresher"), "no case has a figure to compare (2 new)"),
        ("swap_in:0", BEFORE, ("bulk", "fresh"), "no case has a figure to compare (1 invalid, 1 new)"),
        ("peak:10B", BEFORE, (), "no case was measured"),
    ],
)
def test_threshold_that_judges_nothing_is_named(
    limits: str, before: Document | None, policies: tuple[str, ...], sentence: str
) -> None:
    """A threshold by which no figure was compared is named with the reason."""
    gate = Gate(parse_thresholds(limits), before)
    judgement = gate.judge_all([_record(policy, 100) for policy in policies])
    assert judgement.idle == (f"threshold {limits} judged nothing: {sentence}",)


def test_threshold_that_judges_something_is_not_named() -> None:
    """Of two thresholds only the one that judged nothing is named; a ceiling may judge nothing as well."""
    gate = Gate(parse_thresholds("peak:10B,peak/bulk:10%"), BEFORE)
    own = Ceiling.parse("peak", "0.5x bulk")
    findings = gate.judge_all([_record("bulk", 100)]).findings
    assert gate.idle(findings, [own]) == [
        "threshold peak/bulk:10% judged nothing: no case was measured besides bulk itself",
        "threshold peak 0.5x bulk judged nothing: no case was measured besides bulk itself",
    ]


def test_threshold_on_a_programs_metric_concerns_only_cases_that_have_it() -> None:
    """Cases whose programs never reported the metric are not judged; a name that none reported is explained."""
    speed = {"tokens_per_s": OwnMetric(30, "1/s", "higher")}
    reporting = Record(CASE, (Measurement(outcome="ok", makespan_s=1.0, own=speed),))
    silent = _record("silent", 1)
    gate = Gate(parse_thresholds("tokens_per_s:5%,tokns:5%"), _session(reporting, silent))
    judged = gate.judge_all([reporting, silent])
    assert [(finding.case.policy, finding.figure.metric) for finding in judged.findings] == [("bulk", "tokens_per_s")]
    assert "threshold tokns:5% judged nothing: no program reported tokns; programs reported tokens_per_s" in judged.idle


def test_threshold_on_a_metric_of_a_stream_concerns_only_cases_that_have_it() -> None:
    """A share in time that falls regresses, cases without the stream are not judged, and a misspelled one is named."""

    def seen(in_time: float) -> Record:
        stats = {"camera": StreamStats(requests=(0,), requests_due=100, overruns=0, in_time=in_time)}
        return Record(CASE, tuple(Measurement(outcome="ok", round=i, streams=stats) for i in range(5)))

    gate = Gate(parse_thresholds("in_time[camera]:5%,in_time[camra]:5%"), _session(seen(0.9), _record("silent", 1)))
    judged = gate.judge_all([seen(0.5), _record("silent", 1)])
    assert [(finding.case.policy, finding.verdict) for finding in judged.findings] == [("bulk", "regressed")]
    assert judged.idle == (
        "threshold in_time[camra]:5% judged nothing: no workload has a stream camra; did you mean camera?",
    )
    assert [one.verdict for one in gate.judge_all([seen(0.88)]).findings if one.verdict != "missing"] == ["ok"]
