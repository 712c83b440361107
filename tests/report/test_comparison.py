"""The comparison with a baseline in tables and sentences."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.report import session
from pytest_edgeload.report.comparison import judged, table, without_common_case
from pytest_edgeload.report.view import View
from pytest_edgeload.results.comparison import BaselineComparison
from pytest_edgeload.results.finding import Finding, Judgement, Verdict
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Figure, parse_thresholds
from tests import cases
from tests.report.documents import document

CASE = msgspec.structs.replace(cases.CASE, test="suites/test_a.py::test_a")


def _record(policy: str, *makespans: float, cap: str = "cgroup2") -> Record:
    rounds = (Measurement(outcome="ok", round=i, makespan_s=s, peak_bytes=300 << 20) for i, s in enumerate(makespans))
    return Record(msgspec.structs.replace(CASE, policy=policy, cap=cap), tuple(rounds))


def _row(text: str, *words: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.split()[: len(words)] == list(words)]
    return line.split()[len(words) :]


def test_cases_of_both_sessions_are_compared() -> None:
    """A case of both sessions has a row per figure: then, now, the change and its interval."""
    text = table([_record("bulk", 2.0, 2.0), _record("gone", 1.0)], [_record("bulk", 3.0, 3.0)])
    case = ("bulk", "mix", "512M", "read")
    assert _row(text, *case, "makespan") == ["2s", "3s", "+50.0%", "+50.0%", "to", "+50.0%"]
    assert _row(text, *case, "peak") == ["300M", "300M", "+0.0%", "+0.0%", "to", "+0.0%"]
    assert "gone" not in text
    assert table([], [_record("bulk", 3.0)]) == ""


def test_session_without_a_case_of_its_baseline_says_so() -> None:
    """If no case is in the baseline, a sentence names a case of each; with a threshold the findings do."""
    before, after = (document(_record(name, 1.0, 1.0)) for name in ("bulk", "linear"))
    sentences = [
        "no case is in both sessions",
        "the baseline has bulk, mix at 512M, reader read",
        "this session has linear, mix at 512M, reader read",
    ]
    for thresholds, count in {"": 1, "peak:1M": 0}.items():
        gate = Gate(parse_thresholds(thresholds) if thresholds else (), before)
        judgement = gate.judge_all(after.records)
        text = session.text(after, judgement, BaselineComparison(gate, "compared with a"), View(), is_quiet=False)
        assert text.count("\n".join(sentences)) == count
    assert "new: linear" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": "suites/test_b.py::test_x"}, "test suites/test_b.py::test_x"),
        ({"constraints": Constraints(threads=4)}, "threads 4"),
        ({"loop": "open", "arrivals": "poisson, 2 a second", "seed": 7}, "loop open"),
        ({"seed": 7}, "seed 7"),
    ],
)
def test_cases_with_equal_labels_have_the_coordinate_that_differs(changes: dict[str, Any], words: str) -> None:
    """If the first cases of two sessions have the same label, the lines have the coordinate that differs."""
    one = _record("bulk", 1.0, 1.0)
    other = msgspec.structs.replace(one, case=msgspec.structs.replace(one.case, **changes))
    _, then, now = without_common_case([one], [other]).splitlines()
    label = "bulk, mix at 512M, reader read"
    assert then.startswith(f"A has {label}, {words.split(maxsplit=1)[0]} ")
    assert now == f"B has {label}, {words}"
    assert then != now


def test_incomparable_times_have_no_change() -> None:
    """Times of another machine or cap are shown without a change; a single round has no interval."""
    changes: list[tuple[set[str | None], str]] = [({None}, "cgroup2"), ({"other"}, "cgroup1")]
    for strangers, cap in changes:
        text = table([_record("bulk", 2.0)], [_record("bulk", 3.0, cap=cap)], strangers=strangers)
        assert _row(text, "bulk", "mix", "512M", "read", "makespan") == ["2s", "3s", "-", "-"]
        assert _row(text, "bulk", "mix", "512M", "read", "peak")[2:] == ["+0.0%", "-"]


def test_change_of_zero_is_in_its_unit() -> None:
    """A figure that was zero has a change in its unit, not `+nan%` or `+inf%`; tiny shares keep their digits."""
    then, now = (
        [_record("bulk", 0.0, 0.0), _record("linear", 1.0)],
        [_record("bulk", 0.0, 2.0), _record("linear", 1.0002)],
    )
    text = table(then, now)
    assert _row(text, "bulk", "mix", "512M", "read", "makespan") == ["0s", "1s", "+1s", "+0s", "to", "+2s"]
    assert _row(text, "linear", "mix", "512M", "read", "makespan")[2:] == ["+0.02%", "-"]


def test_narrow_table_keeps_the_limit() -> None:
    """If there is no room for all columns, the limit stays: rows of one policy differ in nothing else."""
    text = table([_record("bulk", 2.0)], [_record("bulk", 3.0)], width=60)
    assert _row(text, "bulk", "mix", "512M", "makespan") == ["2s", "3s", "+50.0%"]


def test_findings_are_counted_and_missing_cases_share_a_line() -> None:
    """Verdicts are counted, findings that are not ok have a line, and missing cases share one."""

    def finding(verdict: Verdict, policy: str) -> Finding:
        case = msgspec.structs.replace(CASE, policy=policy)
        return Finding(case, Figure("peak_bytes"), "peak:1M", verdict, "so it is")

    found = [finding("ok", "a"), finding("regressed", "b"), finding("missing", "c"), finding("missing", "d")]
    assert judged(Judgement((*found, finding("ok", "e"), finding("ok", "f")))).splitlines() == [
        "3 ok, 2 missing, 1 regressed",
        "regressed: b, mix at 512M, reader read: peak, limit peak:1M: so it is",
        "missing: c, mix at 512M, reader read: peak, limit peak:1M: so it is; and 1 more",
    ]
    assert judged(Judgement()) == ""
