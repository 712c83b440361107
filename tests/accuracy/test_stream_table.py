"""The table of the mixes of today names the goals that `stream` misses."""

from __future__ import annotations

import msgspec

from pytest_edgeload import Measurement, Record
from tests.accuracy.stream_table import missed, report
from tests.cases import CASE


def _record(policy: str, in_time: float, swap_out_bytes: int = 0) -> Record:
    case = msgspec.structs.replace(CASE, workload="mix", policy=policy, limit="768M")
    return Record(case, (Measurement(outcome="ok", in_time=in_time, swap_out_bytes=swap_out_bytes),))


def _cell(*records: Record) -> dict[str, Record]:
    return {record.case.policy: record for record in records}


def test_highest_share_without_swap_meets_the_goals() -> None:
    """All goals are met if no share is higher, nothing is swapped, and the ratio at 768M suffices."""
    cell = _cell(_record("lru", 0.4), _record("masa", 0.7), _record("stream", 0.7))
    assert missed(cell, "768M") == []


def test_each_missed_goal_is_named() -> None:
    """A higher share of another policy, swap, and a low ratio at 768M are named; the ratio matters only there."""
    cell = _cell(_record("pin(vad)", 0.5), _record("mema", 0.9), _record("stream", 0.6, swap_out_bytes=1))
    assert missed(cell, "768M") == ["lower than 90%", "swapped", "below 1.5 x keep-alive"]
    assert missed(cell, "1G") == ["lower than 90%", "swapped"]


def test_failed_run_has_no_answers_in_time() -> None:
    """A run that failed counts as 0 %, and its outcome is in the table."""
    killed = msgspec.structs.replace(_record("lru", 0.9), rounds=(Measurement(outcome="oom"),))
    text = report([killed, _record("stream", 0.5)])
    assert "| mix   | 768M    | 50%      | 0% lru" in text
    assert "| 768M  | lru      | oom" in text
