"""Verdicts on figures since a baseline, and below a ceiling."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.devices.constraints import Shortfall
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.claims import settle
from pytest_edgeload.results.finding import Finding, Side, Verdict
from pytest_edgeload.results.judging import judge, judge_ceiling
from pytest_edgeload.results.measurement import Measurement, Outcome
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Ceiling, Threshold
from tests import cases

CASE = msgspec.structs.replace(cases.CASE, test="suites/test_a.py::test_a", policy="linear", cap="cgroup1")
ONE_PERCENT = 0.01


def record(*makespans: float, case: Case = CASE, outcome: Outcome = "ok", **figures: object) -> Record:
    """Return a record whose rounds took these seconds."""
    rounds = [
        msgspec.convert({"outcome": outcome, "round": i, "makespan_s": took} | figures, Measurement)
        for i, took in enumerate(makespans)
    ]
    return Record(case, tuple(rounds))


def around(value: float, *, rounds: int = 8, spread: float = ONE_PERCENT, seed: int = 0) -> Record:
    """Return a record of rounds about `value` seconds."""
    drawn = random.Random(seed)
    return record(*(value * (1 + drawn.uniform(-spread, spread)) for _ in range(rounds)))


def verdict(
    threshold: str, before: Record | None, after: Record, *, comparisons: int = 1, is_alike: bool = True
) -> Finding:
    """Judge one record against the other, among so many comparisons without any other regression."""
    side = None if before is None else Side(before)
    judged = judge(Threshold.parse(threshold), side, Side(after), is_alike=is_alike)
    if isinstance(judged, Finding):
        return judged
    return judged.finding if judged.chance <= 0.05 / comparisons else judged.otherwise(comparisons)


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
def test_times_regress_beyond_each_term_of_the_limit(now: float, threshold: str, expected: Verdict) -> None:
    """A time that is longer than each term of the limit allows is a regression; one that is shorter, an improvement."""
    assert verdict(threshold, around(1.0), around(now, seed=1)).verdict == expected


def test_improvement_needs_the_evidence_of_a_regression() -> None:
    """A time that is better by more than the limit, but perhaps by less, is no improvement; so it is the other way."""
    slow, quick = record(1.0, 1.02, 1.04, 1.06, 1.5), record(0.85, 0.86, 0.87, 0.96, 0.97)
    assert verdict("makespan:10%", quick, slow).verdict == "inconclusive"
    assert verdict("makespan:10%", slow, quick).verdict == "ok"
    assert verdict("makespan:5%", record(1.0, 1.1), record(0.5, 0.6)).verdict == "inconclusive", (
        "two rounds are too few"
    )


def test_lower_is_a_regression_if_higher_is_better() -> None:
    """If a higher value is better, a lower one is a regression."""
    then, now = (record(1, 1, 1, 1, throughput_per_s=rate) for rate in (10.0, 5.0))
    assert verdict("throughput:10%", then, now).verdict == "regressed"
    assert verdict("throughput:10%", now, then).verdict == "improved"


def test_noise_is_inconclusive() -> None:
    """A change that may be chance is inconclusive, and the reason has the number of rounds that would decide."""
    found = verdict("makespan:10%", record(1.0, 1.4, 0.8, 1.2), record(1.1, 1.5, 0.9, 1.4))
    assert found.verdict == "inconclusive"
    assert "too noisy" in found.reason


def test_too_few_rounds_are_inconclusive() -> None:
    """If there are too few rounds for the number of comparisons, even a large difference of times is inconclusive."""
    then, now = around(1.0, rounds=3), around(9.0, rounds=3)
    assert verdict("makespan:10%", then, now).verdict == "regressed"
    found = verdict("makespan:10%", then, now, comparisons=100)
    assert (found.verdict, found.reason) == (
        "inconclusive",
        "3 of 7 rounds per side that 100 comparisons of times need",
    )
    assert verdict("makespan:10%", around(1.0, rounds=1), around(9.0, rounds=1)).verdict == "inconclusive"


@given(st.integers(0, 2**32), st.floats(0.01, 0.3))
def test_identical_code_does_not_regress(seed: int, spread: float) -> None:
    """Rounds from one distribution do not regress by a multiple of their spread."""
    drawn = random.Random(seed)
    sides = [record(*(1 + drawn.uniform(-spread, spread) for _ in range(5))) for _ in range(2)]
    assert verdict(f"makespan:{400 * spread:.3f}%", *sides).verdict != "regressed"


def test_one_round_of_bytes_is_evidence() -> None:
    """Bytes need a single round per side."""
    then, now = record(1.0, peak_bytes=400 << 20), record(1.0, peak_bytes=500 << 20)
    assert verdict("peak:64M", then, now).verdict == "regressed"
    assert verdict("peak:200M", then, now).verdict == "ok"
    assert verdict("peak:64M", now, then).verdict == "improved"


@pytest.mark.parametrize("field", ["swap_in_bytes", "major_faults", "makespan_s"])
@pytest.mark.parametrize(("then", "now"), [((0, 0, 0), (0, 0, 0)), ((0, 0, 0), (0, 5, 9)), ((0, 4, 4), (4, 0, 0))])
@pytest.mark.filterwarnings("error")
def test_zero_figures_have_no_percentage(field: str, then: tuple[int, ...], now: tuple[int, ...]) -> None:
    """A figure that is or may be zero is judged without a warning, and its change is not a percentage of zero."""
    sides = [[{"outcome": "ok", "makespan_s": 1.0} | {field: value} for value in values] for values in (then, now)]
    before, after = (Record(CASE, msgspec.convert(side, tuple[Measurement, ...])) for side in sides)
    found = verdict(f"{field}:10%", before, after)
    assert found.change is not None
    assert not found.change.is_share
    assert found.is_judged


def test_bytes_that_were_zero_may_not_appear() -> None:
    """With a limit of 0, bytes that were 0 may not appear, and their change has no percentage."""
    then, now = record(1.0, 1.0, swap_in_bytes=0), record(1.0, 1.0, swap_in_bytes=4096)
    found = verdict("swap_in:0", then, now)
    assert (found.verdict, str(found)) == (
        "regressed",
        "swap_in 0 -> 4K (+4K, 95% interval +4K to +4K), limit swap_in:0",
    )
    assert verdict("swap_in:0", then, then).verdict == "ok"


def test_ratios_are_compared_across_machines() -> None:
    """The ratio to a reference is computed per session and round, so a slower machine does not matter."""
    bulk = msgspec.structs.replace(CASE, policy="bulk")
    then = Side(record(1.0, 2.0, 3.0, 4.0), record(2.0, 4.0, 6.0, 8.0, case=bulk))
    slow = Side(record(10.0, 20.0, 30.0, 40.0), record(20.0, 40.0, 60.0, 80.0, case=bulk))
    worse = Side(record(10.0, 20.0, 30.0, 40.0), record(10.0, 20.0, 30.0, 40.0, case=bulk))
    threshold = Threshold.parse("makespan/bulk:10%")
    sides = (slow, worse, Side(record(1.0)))
    found = [settle([judge(threshold, then, side, is_alike=False)])[0].verdict for side in sides]
    assert found == ["ok", "regressed", "invalid"]


def test_percentile_uses_the_requests_of_all_rounds() -> None:
    """A percentile of response times uses the requests of all rounds, if there are enough."""
    few = record(1.0, 1.0, response_s=[0.1] * 31)
    enough = record(1.0, 1.0, 1.0, 1.0, response_s=[0.1] * 16)
    slow = record(1.0, 1.0, 1.0, 1.0, response_s=[0.1] * 12 + [0.3] * 4)
    found = verdict("response.p90:15%", enough, few)
    assert (found.verdict, found.reason) == ("invalid", "p90 needs 64 samples, but there are 62")
    assert verdict("response.p90:15%", enough, slow).verdict == "regressed"
    assert verdict("response.p50:15%", enough, slow).verdict == "ok"


@pytest.mark.parametrize(
    ("changed", "verdict_then", "reason"),
    [
        ({"cap": "none"}, "invalid", "its limit was not enforced (cap none)"),
        ({"swap": "off"}, "incomparable", "swap was off then, and is 8G now"),
        ({"swap": "zram:8G"}, "incomparable", "swap was zram:8G then, and is 8G now"),
        (
            {"reader": "direct", "is_reader_auto": True},
            "incomparable",
            "the reader was direct then, and is read now",
        ),
        ({"cap": "cgroup2"}, "incomparable", "the cap was cgroup2 then, and is cgroup1 now"),
        (
            {"unenforced": (Shortfall("read_bps"),)},
            "incomparable",
            "unenforced constraints differ: read_bps then, none now",
        ),
    ],
)
def test_times_under_other_conditions_are_not_compared(
    changed: dict[str, Any], verdict_then: Verdict, reason: str
) -> None:
    """Times under another cap, with other swap or with other unenforced constraints are not compared."""
    then = Record(msgspec.structs.replace(CASE, **changed), around(1.0).rounds)
    found = verdict("makespan:10%", then, around(1.0))
    assert (found.verdict, found.reason) == (verdict_then, reason)


def test_only_bytes_are_compared_across_machines() -> None:
    """Times of another machine are not compared; bytes are."""
    then, now = around(1.0), around(1.0)
    assert verdict("makespan:10%", then, now, is_alike=False).verdict == "incomparable"
    then, now = record(1.0, peak_bytes=1 << 30), record(1.0, peak_bytes=2 << 30)
    assert verdict("peak:10%", then, now, is_alike=False).verdict == "regressed"


def test_warm_run_is_invalid() -> None:
    """A run that read less than half of its weights found the rest in the page cache and is invalid."""
    found = verdict("makespan:10%", around(1.0), record(1.0, read_bytes=10, bound_read_bytes=100))
    assert (found.verdict, found.reason) == ("invalid", "round 0 found its weights in the page cache")


def test_times_of_a_throttled_round_are_invalid() -> None:
    """The times of a round during which the processor was throttled are invalid; its bytes are not."""
    hot = record(1.0, throttled_s=0.3, peak_bytes=2 << 30)
    found = verdict("makespan:10%", around(1.0), hot)
    assert (found.verdict, found.reason) == ("invalid", "the processor was throttled in round 0")
    assert verdict("peak:10%", record(1.0, peak_bytes=1 << 30), hot).verdict == "regressed"
    assert verdict("throttled:0.1s", record(1.0, throttled_s=0.0), hot).verdict != "invalid"
    assert verdict("makespan:10%", around(1.0), record(1.0, throttled_s=0.0)).verdict != "invalid"


def test_case_that_the_baseline_lacks_is_new() -> None:
    """A case that the baseline does not have is new."""
    assert verdict("makespan:10%", None, around(1.0)).verdict == "new"


def test_new_failure_is_a_regression() -> None:
    """A case that was always ok and fails now is a regression, independent of its times."""
    found = verdict("makespan:10%", around(1.0), record(1.0, 1.0, outcome="oom"))
    assert (found.verdict, found.reason) == ("regressed", "all rounds were ok then; now 2 oom")


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
def test_figure_beyond_its_ceiling_regresses(name: str, text: str, expected: Verdict) -> None:
    """A figure beyond its ceiling is a regression; a time only if its whole interval is beyond."""
    after = record(1.0, 1.01, 0.99, 1.02, 0.98, peak_bytes=512 << 20, throughput_per_s=6.0)
    [found] = settle([judge_ceiling(Ceiling.parse(name, text), Side(after))])
    assert found.verdict == expected


def test_finding_shows_values_interval_and_limit() -> None:
    """The text of a finding has both values, the change with its interval, and the limit."""
    found = verdict("makespan:10%", record(1.0, 1.0, 1.0, 1.0), record(1.5, 1.5, 1.5, 1.5), comparisons=2)
    assert str(found) == "makespan 1s -> 1.5s (+50.0%, 95% interval +50.0% to +50.0%), limit makespan:10%"


def reporting(value: float, unit: str = "frames/s", better: str = "higher", *, seed: int = 0) -> Record:
    """Return a record whose program reported speeds about `value`."""
    drawn = random.Random(seed)
    speeds = (value * (1 + drawn.uniform(-ONE_PERCENT, ONE_PERCENT)) for _ in range(8))
    own = [{"speed": {"value": speed, "unit": unit, "better": better}} for speed in speeds]
    runs = (msgspec.convert({"outcome": "ok", "round": i, "own": one}, Measurement) for i, one in enumerate(own))
    return Record(CASE, tuple(runs))


@pytest.mark.parametrize(
    ("now", "better", "threshold", "expected"),
    [
        (90, "higher", "speed:5%", "regressed"),
        (110, "higher", "speed:5%", "improved"),
        (101, "higher", "speed:5%", "ok"),
        (90, "higher", "speed:5", "regressed"),
        (90, "lower", "speed:5%", "improved"),
        (110, "lower", "speed:5%", "regressed"),
    ],
)
def test_metric_of_a_program_is_judged_by_its_direction(
    now: float, better: str, threshold: str, expected: Verdict
) -> None:
    """More frames per second are an improvement, if the program says that higher is better."""
    sides = reporting(100, better=better), reporting(now, better=better, seed=1)
    assert verdict(threshold, *sides).verdict == expected


@pytest.mark.parametrize(
    ("before", "after", "threshold", "expected"),
    [
        (
            reporting(1, better="neither"),
            reporting(1, better="neither"),
            "speed:5%",
            "invalid: speed is neither better nor worse when it changes; report it with the direction higher or lower",
        ),
        (
            reporting(1),
            reporting(1),
            "speed:50ms",
            "invalid: the limit is a time, but the unit of the metric is frames/s",
        ),
        (
            reporting(1),
            reporting(1, unit="frames/min"),
            "speed:5%",
            "incomparable: its unit was frames/s then, and is frames/min now",
        ),
        (around(1.0), reporting(1), "speed:5%", "new: the baseline has no speed of this case"),
        (reporting(1), around(1.0), "speed:5%", "invalid: no round has speed"),
        (reporting(1), record(1.0, outcome="oom"), "speed:5%", "regressed: all rounds were ok then; now 1 oom"),
    ],
)
def test_metric_of_a_program_that_cannot_be_judged_says_why(
    before: Record, after: Record, threshold: str, expected: str
) -> None:
    """A metric without a direction, in another unit, or on one side only is not judged, and one sentence says why."""
    found = verdict(threshold, before, after)
    assert f"{found.verdict}: {found.reason}" == expected


def test_times_of_a_program_of_another_machine_are_not_compared() -> None:
    """A program's own metric is comparable like a time; its bytes are comparable everywhere."""
    found = verdict("speed:5%", reporting(1), reporting(1), is_alike=False)
    assert found.reason == "speed of another machine cannot be compared; try a ratio to another row, as speed/NAME"
    assert verdict("speed:5%", reporting(1, "bytes"), reporting(1, "bytes"), is_alike=False).verdict == "ok"


def test_ceiling_is_a_minimum_if_higher_is_better() -> None:
    """A program that reports less than its test demands is a regression."""
    for limit, expected in (("90", "ok"), ("110", "regressed")):
        judged = judge_ceiling(Ceiling.parse("speed", limit), Side(reporting(100)))
        found = judged if isinstance(judged, Finding) else judged.finding
        assert found.verdict == expected
    assert str(found).endswith(" frames/s, limit speed 110")
