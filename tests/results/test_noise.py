"""The noise floor of identical code and the tightest thresholds above it."""

from __future__ import annotations

import random

import msgspec
import pytest

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.claims import settle
from pytest_edgeload.results.finding import Sides, Verdict
from pytest_edgeload.results.judging import judge
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.metric import Metric, OwnMetric
from pytest_edgeload.results.noise import Floor, Split, floor, splits, tightest
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Figure, Threshold
from tests import cases

CASE = msgspec.structs.replace(cases.CASE, test="")
LINEAR = msgspec.structs.replace(CASE, policy="linear")
MAKESPAN, RATIO, PEAK = Figure("makespan_s"), Figure("makespan_s", reference="bulk"), Figure("peak_bytes")


def _records(rounds: int, noise: float, seed: int = 1) -> list[Record]:
    """Return two policies whose makespans vary by a factor per round and by one per measurement."""
    rng = random.Random(seed)
    common = [1 + noise * rng.uniform(-1, 1) for _ in range(rounds)]

    def record(case: Case, makespan_s: float) -> Record:
        own = [1 + noise / 10 * rng.uniform(-1, 1) for _ in range(rounds)]
        found = enumerate(zip(common, own, strict=True))
        return Record(case, tuple(_round(i, makespan_s * a * b) for i, (a, b) in found))

    return [record(CASE, 2.0), record(LINEAR, 1.0)]


def _round(number: int, makespan_s: float) -> Measurement:
    return Measurement(outcome="ok", round=number, makespan_s=makespan_s, peak_bytes=300 << 20, read_bytes=1)


@pytest.fixture(scope="module")
def sides() -> list[Split]:
    """Give ten comparisons of twelve noisy rounds."""
    return splits(_records(12, 0.1), 10)


def test_splits_halve_the_rounds() -> None:
    """Each split halves the rounds of all policies alike; the first is interleaved, and all differ."""
    records = _records(6, 0.1)
    found = splits(records, 8)
    numbers = [[sorted(m.round for m in record.rounds) for side in pair for record in side] for pair in found]
    assert numbers[0] == [[0, 2, 4], [0, 2, 4], [1, 3, 5], [1, 3, 5]]
    assert all(
        one == same and other == again and sorted(one + other) == [*range(6)] for one, same, other, again in numbers
    )
    assert len({frozenset(map(tuple, each)) for each in numbers}) == len(numbers) == 8
    assert splits(records, 8) == found


def test_few_rounds_have_few_splits() -> None:
    """Four rounds have three splits."""
    assert len(splits(_records(4, 0.1), 100)) == 3


def test_floor_is_the_difference_of_medians() -> None:
    """The floor has the differences between the sides' medians: median, 95 % and maximum."""
    found = Floor(10.0, (1.0, -3.0, 2.0))
    assert (found.typical, found.worst) == (2.0, 3.0)
    assert 2.0 < found.within <= 3.0
    assert Floor(10.0, (0.0,)).within == 0


def test_ratios_and_bytes_vary_less(sides: list[Split]) -> None:
    """Noise per round affects a ratio less than a time; constant bytes do not vary."""
    records = _records(12, 0.1)
    makespan = floor(records, "linear", MAKESPAN, sides)
    ratio, peak = floor(records, "linear", RATIO, sides), floor(records, "linear", PEAK, sides)
    assert makespan is not None
    assert ratio is not None
    assert len(makespan.differences) == len(ratio.differences) == 10
    assert 0 < ratio.worst / ratio.value < makespan.worst / makespan.value < 0.2
    assert peak == Floor(300 << 20, (0,) * 10)
    assert floor(records, "linear", Figure("swap_in_bytes"), sides) is None


@pytest.mark.parametrize("figure", [MAKESPAN, RATIO])
@pytest.mark.parametrize("is_strict", [False, True])
def test_tightest_threshold_raises_no_alarm(sides: list[Split], figure: Figure, *, is_strict: bool) -> None:
    """The tightest threshold raises no alarm between any two sides, but one percent less would."""
    found = tightest(figure, sides, is_strict=is_strict).threshold
    assert found is not None
    percent = round(100 * found.terms[0].amount)
    assert not _alarms(found, sides, is_strict=is_strict)
    if percent > 1:
        assert _alarms(Threshold.parse(f"{figure}:{percent - 1}%"), sides, is_strict=is_strict)


def _alarms(threshold: Threshold, sides: list[Split], *, is_strict: bool) -> list[Verdict]:
    reference = threshold.figure.reference
    found: list[Verdict] = []
    for before, after in [*sides, *((b, a) for a, b in sides)]:
        then, now = Sides.of(before), Sides.of(after)
        judged = []
        for case in [record.case for record in before if record.case.policy != reference]:
            side = now.side(case, reference)
            assert side is not None
            judged.append(judge(threshold, then.side(case, reference), side, is_alike=True))
        found += [finding.verdict for finding in settle(judged)]
    return [verdict for verdict in found if verdict == "regressed" or (is_strict and verdict == "inconclusive")]


def test_strict_gate_allows_more(sides: list[Split]) -> None:
    """A strict gate allows at least as much as one that may be inconclusive."""
    loose, strict = (tightest(MAKESPAN, sides, is_strict=is_strict).threshold for is_strict in (False, True))
    assert loose is not None
    assert strict is not None
    assert strict.terms[0].amount >= loose.terms[0].amount


def test_constant_bytes_need_no_allowance(sides: list[Split]) -> None:
    """Constant bytes may be gated without any allowance."""
    assert tightest(PEAK, sides, is_strict=True).threshold == Threshold.parse("peak:0")


def test_too_few_rounds_have_no_gate() -> None:
    """With too few rounds no gate holds, and the reason has the number that is needed."""
    sides = splits(_records(4, 0.1), 3)
    for is_strict in (False, True):
        found = tightest(MAKESPAN, sides, is_strict=is_strict)
        assert found.threshold is None
        assert found.reason == "2 of 4 rounds per side that 2 comparisons of times need"


def test_too_much_noise_has_no_strict_gate() -> None:
    """If no allowance is enough there is no strict gate, and the reason says so."""
    wild = [[_round(i, 10.0 ** (i % 4)) for i in range(12)]]
    found = tightest(MAKESPAN, splits([Record(CASE, tuple(wild[0]))], 5), is_strict=True)
    assert found.threshold is None
    assert "too noisy" in found.reason


def test_programs_that_never_report_a_metric_do_not_concern_its_gate() -> None:
    """The gate on a metric is found with the programs that report it, although another program does not."""
    speaking, silent = _records(12, 0.1)
    own = {"speed": OwnMetric(3.5, better="higher")}
    rounds = tuple(msgspec.structs.replace(each, own=own) for each in speaking.rounds)
    speed = Figure("speed", own=Metric("", "higher"))
    both = splits([Record(CASE, rounds), silent], 5)
    assert tightest(speed, both, is_strict=True).threshold == Threshold.parse("speed:1%")
