"""The differences between runs of identical code: an A/A test of one session's rounds with the code of the gate.

The rounds are split into two sides in many different ways; all differences between the sides are noise. Pure functions.
"""

from __future__ import annotations

import random
import statistics
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pytest_edgeload.base.units import format_size
from pytest_edgeload.results.claims import settle
from pytest_edgeload.results.evidence import too_few_rounds
from pytest_edgeload.results.finding import Side, Sides, Verdict
from pytest_edgeload.results.judging import judge
from pytest_edgeload.results.own import optional_metrics
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import runs_of
from pytest_edgeload.results.threshold import Figure, Threshold, is_size

_SEED = 2020  # of the splits, so that the same rounds give the same answer
_TRIES = 100
_PERCENT = range(1, 201)
_SIZES = (0, *(1 << power for power in range(16, 38)))  # 64K to 128G
_COUNTS = (0, *(1 << power for power in range(31)))
_ALARMS: frozenset[Verdict] = frozenset({"regressed"})
_STRICT_ALARMS: frozenset[Verdict] = _ALARMS | {"inconclusive", "invalid"}

_Side = Sequence[Record]
Split = tuple[_Side, _Side]
"""The records of a session twice: with the rounds of one side and with those of the other."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The noise floor of a figure of one case: its value and its differences between sides of identical code."""

    value: float
    differences: tuple[float, ...]

    @property
    def typical(self) -> float:
        """The median of the absolute differences."""
        return statistics.median(map(abs, self.differences))

    @property
    def worst(self) -> float:
        """The largest absolute difference."""
        return max(map(abs, self.differences))

    @property
    def within(self) -> float:
        """The absolute difference that 95 % of them do not exceed; the order of the sides is arbitrary."""
        both = [sign * difference for difference in self.differences for sign in (1, -1)]
        return statistics.quantiles(both, n=40, method="inclusive")[-1]


@dataclass(frozen=True, slots=True)
class Tightest:
    """The tightest threshold that holds between sides of identical code; None with the reason if none does."""

    threshold: Threshold | None
    reason: str = ""


def splits(records: Sequence[Record], comparisons: int) -> list[Split]:
    """Return up to `comparisons` different splits of the rounds into two sides of equal length.

    The first takes every other round, like an interleaved comparison; the others are drawn at random.
    """
    rounds = sorted({m.round for record in records for m in record.rounds})
    rng, drawn = random.Random(_SEED), [frozenset(rounds[::2])]  # noqa: S311  # no secret
    for _ in range(_TRIES * comparisons):
        if len(drawn) == comparisons:
            break
        side = frozenset(rng.sample(rounds, len(rounds) // 2))
        if side not in drawn and frozenset(rounds) - side not in drawn:
            drawn.append(side)
    return [(_of(records, side), _of(records, frozenset(rounds) - side)) for side in drawn]


def floor(records: Sequence[Record], policy: str, figure: Figure, sides: Sequence[Split]) -> Floor | None:
    """Return the noise floor of a policy's `figure`; None if one of the sides has no value."""
    value = _value(records, policy, figure)
    pairs = [(_value(one, policy, figure), _value(other, policy, figure)) for one, other in sides]
    differences = [then - now for then, now in pairs if then is not None and now is not None]
    return Floor(value, tuple(differences)) if value is not None and len(differences) == len(pairs) else None


def tightest(figure: Figure, sides: Sequence[Split], *, is_strict: bool) -> Tightest:
    """Return the tightest threshold by which no side is a regression of the other, nor inconclusive if strict.

    Each comparison is made in both directions, and the confidence is shared among the cases, as in a session that
    gates this figure.
    """
    limits, place = _thresholds(figure), 0
    alarms = _STRICT_ALARMS if is_strict else _ALARMS
    reason = _too_few(figure, *sides[0]) or _alarm(limits[-1], *sides[0], _STRICT_ALARMS)
    if reason:
        return Tightest(None, reason)
    for before, after in [*sides, *((after, before) for before, after in sides)]:

        def holds(limit: Threshold, before: _Side = before, after: _Side = after) -> bool:
            return not _alarm(limit, before, after, alarms)

        if not holds(limits[place]):
            place = bisect_left(limits, x=True, lo=place + 1, key=holds)
        if place == len(limits):
            return Tightest(None, _alarm(limits[-1], before, after, alarms))
    return Tightest(limits[place])


def _too_few(figure: Figure, before: _Side, after: _Side) -> str:
    """Return why the sides have too few rounds for any threshold of a time; an empty text if they have enough."""
    pairs = [] if figure.is_exact else _pairs(figure, before, after)
    rounds = min((len(side.runs(figure)) for pair in pairs for side in pair), default=0)
    return too_few_rounds(rounds, len(pairs)) if pairs else ""


def _alarm(threshold: Threshold, before: _Side, after: _Side, alarms: Collection[Verdict]) -> str:
    """Return why the threshold raises an alarm; an empty text if it raises none."""
    pairs = _pairs(threshold.figure, before, after)
    for finding in settle([judge(threshold, then, now, is_alike=True) for then, now in pairs]):
        if finding.verdict in alarms:
            return finding.reason or finding.verdict
    return ""


def _pairs(figure: Figure, before: _Side, after: _Side) -> list[tuple[Side, Side]]:
    """Return both sides of each case, except of the reference, and of programs that never reported the metric."""
    then, now, reference = Sides.of(before), Sides.of(after), figure.reference
    reporting = [record for record in after if not figure.is_optional or figure.metric in optional_metrics([record])]
    cases = [record.case for record in reporting if record.case.policy != reference]
    sides = [(then.side(case, reference), now.side(case, reference)) for case in cases]
    return [(old, new) for old, new in sides if old is not None and new is not None]


def _thresholds(figure: Figure) -> list[Threshold]:
    """Return thresholds of the figure, tightest first: shares for times, amounts for bytes and counts."""
    if is_size(figure.unit):
        texts = [format_size(size) for size in _SIZES]
    elif figure.unit == "count":
        texts = [str(count) for count in _COUNTS]
    else:
        texts = [f"{percent}%" for percent in _PERCENT]
    return [Threshold.parse(f"{figure}:{text}") for text in texts]


def _value(records: Sequence[Record], policy: str, figure: Figure) -> float | None:
    by_policy = {record.case.policy: record for record in records}
    other = None if figure.reference is None else by_policy[figure.reference]
    values = [value for run in runs_of(by_policy[policy], figure, other) for value in run]
    return statistics.median(values) if values else None


def _of(records: Sequence[Record], rounds: Collection[int]) -> list[Record]:
    return [Record(r.case, tuple(m for m in r.rounds if m.round in rounds)) for r in records]
