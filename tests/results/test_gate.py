"""What became of figures since a baseline."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.results.gate import (
    Finding,
    Side,
    Sides,
    Verdict,
    identity,
    judge,
    judge_ceiling,
    missing,
    rounds_needed,
)
from pytest_edgeload.results.record import Case, Measurement, Outcome, Record
from pytest_edgeload.results.threshold import Ceiling, Threshold

CASE = Case(
    test="suites/test_a.py::test_a",
    workload="mix",
    policy="linear",
    reader="read",
    cap="cgroup1",
    swap="8G",
    limit="512M",
    constraints=Constraints(512 << 20, threads=2),
)
ONE_PERCENT = 0.01


def record(*makespans: float, case: Case = CASE, outcome: Outcome = "ok", **figures: object) -> Record:
    """Return a record whose rounds took these seconds."""
    rounds = [
        msgspec.convert({"outcome": outcome, "round": i, "makespan_s": took, **figures}, Measurement)
        for i, took in enumerate(makespans)
    ]
    return Record(case, tuple(rounds))


def around(value: float, *, rounds: int = 8, spread: float = ONE_PERCENT, seed: int = 0) -> Record:
    """Return a record of rounds about `value` seconds."""
    drawn = random.Random(seed)
    return record(*(value * (1 + drawn.uniform(-spread, spread)) for _ in range(rounds)))


def verdict(threshold: str, before: Record | None, after: Record, *, judged: int = 1, is_alike: bool = True) -> Finding:
    """Judge the one against the other."""
    side = None if before is None else Side(before)
    return judge(Threshold.parse(threshold), side, Side(after), judged=judged, is_alike=is_alike)


@pytest.mark.parametrize(
    ("now", "threshold", "expected"),
    [
        (1.0, "makespan:10%", "ok"),
        (1.05, "makespan:10%", "ok"),
        (1.3, "makespan:10%", "regressed"),
        (1.3, "makespan:200ms", "regressed"),
        (1.3, "makespan:10%+0.2s", "regressed"),
        (1.3, "makespan:10%+0.5s", "ok"),
        (1.3, "makespan:50%+0.1s", "ok"),
        (0.7, "makespan:10%", "improved"),
        (1.3, "makespan.mean:10%", "regressed"),
        (1.3, "makespan.min:10%", "regressed"),
    ],
)
def test_times(now: float, threshold: str, expected: Verdict) -> None:
    """What takes longer than each term of the limit allows is a regression; what is so much quicker, an improvement."""
    assert verdict(threshold, around(1.0), around(now, seed=1)).verdict == expected


def test_more_is_better() -> None:
    """Where more is better, less is a regression."""
    then, now = (record(1, 1, 1, 1, throughput_per_s=rate) for rate in (10.0, 5.0))
    assert verdict("throughput:10%", then, now).verdict == "regressed"
    assert verdict("throughput:10%", now, then).verdict == "improved"


def test_noise() -> None:
    """What is beyond the limit by chance as well is inconclusive; the reason says how many rounds would settle it."""
    found = verdict("makespan:10%", record(1.0, 1.4, 0.8, 1.2), record(1.1, 1.5, 0.9, 1.4))
    assert found.verdict == "inconclusive"
    assert "too noisy" in found.reason


def test_few_rounds() -> None:
    """However large a difference of times is, too few rounds are no evidence among so many comparisons."""
    then, now = around(1.0, rounds=3), around(9.0, rounds=3)
    assert verdict("makespan:10%", then, now).verdict == "regressed"
    found = verdict("makespan:10%", then, now, judged=100)
    assert (found.verdict, found.reason) == ("inconclusive", "3 of 7 rounds a side that 100 comparisons need")
    assert verdict("makespan:10%", around(1.0, rounds=1), around(9.0, rounds=1)).verdict == "inconclusive"


@given(st.integers(1, 10_000))
def test_rounds_needed(judged: int) -> None:
    """With the rounds needed, complete separation by chance is rarer than the confidence allows."""
    rounds = rounds_needed(judged)
    assert 1 / math.comb(2 * rounds, rounds) <= 0.05 / judged * (1 + 1e-9)
    assert rounds == 1 or 1 / math.comb(2 * rounds - 2, rounds - 1) > 0.05 / judged * (1 - 1e-9)


@given(st.integers(0, 2**32), st.floats(0.01, 0.3))
def test_same_code(seed: int, spread: float) -> None:
    """Rounds of one distribution are hardly ever a regression of more than what they spread."""
    drawn = random.Random(seed)
    sides = [record(*(1 + drawn.uniform(-spread, spread) for _ in range(5))) for _ in range(2)]
    assert verdict(f"makespan:{400 * spread:.3f}%", *sides).verdict != "regressed"


def test_bytes() -> None:
    """Bytes need but one round a side; what all rounds agree about is beyond doubt."""
    then, now = record(1.0, peak_bytes=400 << 20), record(1.0, peak_bytes=500 << 20)
    assert verdict("peak:64M", then, now).verdict == "regressed"
    assert verdict("peak:200M", then, now).verdict == "ok"
    assert verdict("peak:64M", now, then).verdict == "improved"


def test_bytes_from_nothing() -> None:
    """What there was none of may not come up where the limit is 0, and has no percentage."""
    then, now = record(1.0, 1.0, swap_in_bytes=0), record(1.0, 1.0, swap_in_bytes=4096)
    found = verdict("swap_in:0", then, now)
    assert (found.verdict, str(found)) == (
        "regressed",
        "swap_in 0 -> 4K (+4K, 95% interval +4K to +4K), limit swap_in:0",
    )
    assert verdict("swap_in:0", then, then).verdict == "ok"


def test_reference() -> None:
    """The ratio to a reference is taken in each session and round by round, so a slower machine does not matter."""
    bulk = msgspec.structs.replace(CASE, policy="bulk")
    then = Side(record(1.0, 2.0, 3.0, 4.0), record(2.0, 4.0, 6.0, 8.0, case=bulk))
    slow = Side(record(10.0, 20.0, 30.0, 40.0), record(20.0, 40.0, 60.0, 80.0, case=bulk))
    worse = Side(record(10.0, 20.0, 30.0, 40.0), record(10.0, 20.0, 30.0, 40.0, case=bulk))
    threshold = Threshold.parse("makespan/bulk:10%")
    assert judge(threshold, then, slow, judged=1, is_alike=False).verdict == "ok"
    assert judge(threshold, then, worse, judged=1, is_alike=False).verdict == "regressed"
    assert judge(threshold, then, Side(record(1.0)), judged=1, is_alike=False).verdict == "invalid"


def test_percentile() -> None:
    """A percentile of response times is judged over the requests of all rounds, if there are enough."""
    few = record(1.0, 1.0, response_s=[0.1] * 31)
    enough = record(1.0, 1.0, 1.0, 1.0, response_s=[0.1] * 16)
    slow = record(1.0, 1.0, 1.0, 1.0, response_s=[0.1] * 12 + [0.3] * 4)
    found = verdict("response.p90:15%", enough, few)
    assert (found.verdict, found.reason) == ("invalid", "p90 needs 64 samples, and there are 62")
    assert verdict("response.p90:15%", enough, slow).verdict == "regressed"
    assert verdict("response.p50:15%", enough, slow).verdict == "ok"


@pytest.mark.parametrize(
    ("changed", "verdict_then", "reason"),
    [
        ({"cap": "none"}, "invalid", "its limit was not enforced (cap none)"),
        ({"swap": "off"}, "incomparable", "swap was off, and is 8G"),
        ({"cap": "cgroup2"}, "incomparable", "the cap was cgroup2, and is cgroup1"),
        (
            {"unenforced": (Shortfall("read_bps"),)},
            "incomparable",
            "of its device read_bps was not enforced, and now nothing is not",
        ),
    ],
)
def test_other_circumstances(changed: dict[str, Any], verdict_then: Verdict, reason: str) -> None:
    """Times under another cap or with other swap are not compared."""
    then = Record(msgspec.structs.replace(CASE, **changed), around(1.0).rounds)
    found = verdict("makespan:10%", then, around(1.0))
    assert (found.verdict, found.reason) == (verdict_then, reason)


def test_other_machine() -> None:
    """Times of another machine are not compared; bytes are."""
    then, now = around(1.0), around(1.0)
    assert verdict("makespan:10%", then, now, is_alike=False).verdict == "incomparable"
    then, now = record(1.0, peak_bytes=1 << 30), record(1.0, peak_bytes=2 << 30)
    assert verdict("peak:10%", then, now, is_alike=False).verdict == "regressed"


def test_warm() -> None:
    """A run that read less than half of what it had to read found it in the page cache, and says nothing."""
    found = verdict("makespan:10%", around(1.0), record(1.0, read_bytes=10, bound_read_bytes=100))
    assert (found.verdict, found.reason) == ("invalid", "round 0 found its weights in the page cache")


def test_outcome() -> None:
    """A case that was always ok and now fails is a regression, whatever its times."""
    found = verdict("makespan:10%", around(1.0), record(1.0, 1.0, outcome="oom"))
    assert (found.verdict, found.reason) == ("regressed", "all rounds were ok, and now 2 oom")


def test_new_and_missing() -> None:
    """A case that only one session has is new, or missing if its test was run."""
    assert verdict("makespan:10%", None, around(1.0)).verdict == "new"
    other = msgspec.structs.replace(CASE, policy="bulk")
    elsewhere = msgspec.structs.replace(CASE, test="suites/test_b.py::test_b")
    before = [Record(case, ()) for case in (CASE, other, elsewhere)]
    assert missing(before, [Record(CASE, ())]) == [other]


def test_identity() -> None:
    """A case is the same in every session whatever `base+` came to, and whatever enforced it."""
    moved = msgspec.structs.replace(CASE, constraints=Constraints(1, threads=2), cap="cgroup2", swap="off")
    assert identity(moved) == identity(CASE)
    assert Sides.of([around(1.0)]).side(moved, None) == Side(around(1.0))
    assert identity(msgspec.structs.replace(CASE, limit="1G")) != identity(CASE)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("makespan", "1.5s", "ok"),
        ("makespan", "0.9s", "regressed"),
        ("makespan", "0.999s", "inconclusive"),
        ("peak", "600M", "ok"),
        ("peak", "500M", "regressed"),
        ("swap_in", "0", "invalid"),
        ("throughput", "5", "ok"),
        ("throughput", "7", "regressed"),
    ],
)
def test_ceiling(name: str, text: str, expected: Verdict) -> None:
    """What is beyond its ceiling fails, of times only with its interval."""
    after = record(1.0, 1.01, 0.99, 1.02, 0.98, peak_bytes=512 << 20, throughput_per_s=6.0)
    assert judge_ceiling(Ceiling.parse(name, text), Side(after), judged=1).verdict == expected


def test_words() -> None:
    """A finding says what was, what is, how sure that is, and what was allowed."""
    found = verdict("makespan:10%", record(1.0, 1.0, 1.0, 1.0), record(1.5, 1.5, 1.5, 1.5), judged=2)
    assert str(found) == "makespan 1s -> 1.5s (+50.0%, 97.5% interval +50.0% to +50.0%), limit makespan:10%"
