"""Findings: the verdict on one figure of one case, compared with a baseline or a ceiling. Pure functions of records.

A regression needs both a large enough change and enough evidence. The change is large enough if the figure is worse
than the threshold allows. The evidence is enough if the interval of a time is beyond the threshold as well; bytes and
counts only have to be worse. The confidence is divided by the number of comparisons (Bonferroni), so that a hundred
cases raise no more false alarms than one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from pytest_edgeload.results.record import Case, Record
from pytest_edgeload.results.statistics import (
    CONFIDENCE,
    Estimate,
    Runs,
    contrast,
    estimate,
    lacking,
    outcomes,
    runs_of,
)
from pytest_edgeload.results.threshold import Ceiling, Figure, Term, Threshold

Verdict = Literal["ok", "regressed", "improved", "inconclusive", "new", "missing", "invalid", "incomparable"]

_MAX_ROUNDS = 100  # more are not recommended
_WARM = 0.5  # of the weights: a run that read less found the rest in the page cache


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one figure of one case. `then` is None for a ceiling, and if there is nothing to compare with.

    `change` is relative to `then`, or absolute if `then` is 0.
    """

    case: Case
    figure: Figure
    limit: str
    verdict: Verdict
    reason: str = ""
    then: float | None = None
    now: float | None = None
    change: Estimate | None = None

    def __str__(self) -> str:
        values = ""
        if self.now is not None:
            then = "" if self.then is None else f"{self.figure.show(self.then)} -> "
            values = f" {then}{self.figure.show(self.now)}{self._change()}"
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.figure}{values}, limit {self.limit}{reason}"

    def _change(self) -> str:
        if self.change is None:
            return ""
        interval = self.change.interval
        ends = [] if interval is None else [interval.low, interval.high]
        share = f"{100 * self.change.confidence:.4g}%"
        between = f", {share} interval {' to '.join(map(self._relative, ends))}" if ends else ""
        return f" ({self._relative(self.change.value)}{between})"

    def _relative(self, change: float) -> str:
        return f"{change:+.1%}" if self.then else f"+{self.figure.show(change)}"


@dataclass(frozen=True, slots=True)
class Side:
    """A record of one session, and the record of the reference policy in its group."""

    record: Record
    reference: Record | None = None

    def runs(self, figure: Figure) -> Runs:
        """Return the samples of `figure`."""
        return runs_of(self.record, figure, self.reference)


@dataclass(frozen=True, slots=True)
class Sides:
    """All records of a session by the identity of their cases."""

    records: Mapping[Case, Record]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Sides:
        """Return the sides of a session's records."""
        return cls({identity(record.case): record for record in records})

    def side(self, case: Case, reference: str | None) -> Side | None:
        """Return the record of `case` and its reference; None if the case was not measured."""
        record = self.records.get(identity(case))
        if record is None:
            return None
        other = None if reference is None else msgspec.structs.replace(identity(case), policy=reference)
        return Side(record, None if other is None else self.records.get(other))


def identity(case: Case) -> Case:
    """Return the part of a case that is the same in every session: without the bytes of `base+`, the cap and the swap.

    The parameters are left out as well, because the id of the test contains them.
    """
    constraints = case.constraints.without(["memory_bytes"])
    return msgspec.structs.replace(
        case, constraints=constraints, cap="", swap="", parameters=(), by_device=(), unenforced=()
    )


def judge(threshold: Threshold, before: Side | None, after: Side, *, comparisons: int, is_alike: bool) -> Finding:
    """Return the finding on a figure since the baseline; `before` is None if the baseline does not have the case.

    `comparisons` is the number of comparisons in the session; `is_alike` says whether the baseline was measured on the
    same kind of machine.
    """
    figure, case = threshold.figure, after.record.case
    if before is None:
        return Finding(case, figure, threshold.text, "new", "the baseline has no such case")
    obstacle = _obstacle(figure, before, after, is_alike=is_alike)
    if obstacle is not None:
        return Finding(case, figure, threshold.text, *obstacle)
    return _compare(threshold, before.runs(figure), after.runs(figure), case, comparisons)


def _obstacle(figure: Figure, before: Side, after: Side, *, is_alike: bool) -> tuple[Verdict, str] | None:
    """Return the verdict and its reason if the figures need not or cannot be compared."""
    then, now = outcomes(before.record), outcomes(after.record)
    different = incomparable(figure, before.record.case, after.record.case, is_alike=is_alike)
    invalid = _invalid(after) or _invalid(before)
    if invalid is None and set(then) == {"ok"} and set(now) != {"ok"}:
        failed = ", ".join(f"{count} {outcome}" for outcome, count in now.items())
        return "regressed", f"all rounds were ok then; now {failed}"
    if invalid is None and different is not None:
        return "incomparable", different
    invalid = invalid or _too_few(before.runs(figure), figure) or _too_few(after.runs(figure), figure)
    return None if invalid is None else ("invalid", invalid)


def judge_ceiling(ceiling: Ceiling, after: Side, *, comparisons: int) -> Finding:
    """Return the finding on a figure and the ceiling that its test declares."""
    figure, case = ceiling.figure, after.record.case
    runs = after.runs(figure)
    reason = _invalid(after) or _too_few(runs, figure)
    if reason is not None:
        return Finding(case, figure, ceiling.text, "invalid", reason)
    now = estimate(runs, figure.stat, 1 - (1 - CONFIDENCE) / comparisons)
    assert now is not None  # or there would be too few samples
    sign = -1 if figure.is_higher_better else 1
    verdict: Verdict = "ok"
    reason = ""
    if sign * (now.value - ceiling.value) > 0:
        interval = now.interval
        nearest = now.value if interval is None else interval.high if figure.is_higher_better else interval.low
        is_evident = figure.is_exact or sign * (nearest - ceiling.value) > 0
        verdict = "regressed" if is_evident else "inconclusive"
        reason = "" if is_evident else f"its interval includes {figure.show(nearest)}; more rounds would decide"
    return Finding(case, figure, ceiling.text, verdict, reason, None, now.value)


def missing_cases(before: Iterable[Record], after: Iterable[Record]) -> list[Case]:
    """Return the cases of the baseline that were not measured although their tests were."""
    after = list(after)
    measured, tests = {identity(record.case) for record in after}, {record.case.test for record in after}
    cases = (record.case for record in before)
    return [case for case in cases if case.test in tests and identity(case) not in measured]


def rounds_needed(comparisons: int) -> int:
    """Return the rounds per side that a difference of times needs to be evidence at all.

    All of n runs are slower than all of n others by chance in one of C(2n, n) cases.
    """
    rounds = 1
    while math.comb(2 * rounds, rounds) < comparisons / (1 - CONFIDENCE):
        rounds += 1
    return rounds


def _compare(threshold: Threshold, then: Runs, now: Runs, case: Case, comparisons: int) -> Finding:
    figure = threshold.figure
    sign = -1 if figure.is_higher_better else 1
    confidence = 1 - (1 - CONFIDENCE) / comparisons
    worse = contrast(then, now, figure.stat, lambda a, b: sign * (b - a), confidence)

    def exceeded(term: Term) -> Estimate:
        return contrast(then, now, figure.stat, lambda a, b: sign * (b - a) - term.allowed(a), confidence)

    beyond = [exceeded(term) for term in threshold.terms]
    value = estimate(then, figure.stat), estimate(now, figure.stat)
    assert value[0] is not None
    assert value[1] is not None
    verdict, reason = _verdict(figure, worse, beyond, comparisons)
    was = value[0].value
    change = contrast(then, now, figure.stat, lambda a, b: (b - a) / (a if was else 1), confidence)
    return Finding(case, figure, threshold.text, verdict, reason, was, value[1].value, change)


def _verdict(figure: Figure, worse: Estimate, beyond: Sequence[Estimate], comparisons: int) -> tuple[Verdict, str]:
    """Return the verdict, and the reason if it is inconclusive; `beyond` has the excess over each term of the limit."""
    nearest = min(beyond, key=lambda one: one.value)
    allowed = worse.value - nearest.value
    if figure.is_exact:
        is_evident, is_blurred = worse.interval is None or worse.interval.low > 0, False
    elif worse.runs < rounds_needed(comparisons) or worse.interval is None:
        reason = f"{worse.runs} of {rounds_needed(comparisons)} rounds per side that {comparisons} comparisons need"
        return "inconclusive", reason
    else:
        is_evident = all(one.interval is not None and one.interval.low > 0 for one in beyond)
        reaches = all(one.interval is not None and one.interval.high > 0 for one in beyond)
        is_blurred = reaches and worse.interval.low <= 0
    if nearest.value > 0:
        return ("regressed", "") if is_evident else ("inconclusive", _rounds(nearest, nearest.value, comparisons))
    if -worse.value > allowed and (worse.interval is None or worse.interval.high < 0):
        return "improved", ""
    return ("inconclusive", _rounds(worse, allowed, comparisons)) if is_blurred else ("ok", "")


def _rounds(difference: Estimate, distance: float, comparisons: int) -> str:
    """Return words for the number of rounds that would decide, if the interval is too wide for `distance`.

    The width of an interval is inversely proportional to the square root of the rounds.
    """
    assert difference.interval is not None
    half = (difference.interval.high - difference.interval.low) / 2
    rounds = math.inf if distance == 0 else difference.runs * (half / distance) ** 2
    if rounds > _MAX_ROUNDS:
        return f"too noisy for up to {_MAX_ROUNDS} rounds; allow a larger change"
    needed = max(math.ceil(rounds), difference.runs + 1, rounds_needed(comparisons))
    return f"too noisy; about {needed} rounds would decide"


def _invalid(side: Side) -> str | None:
    """Return why the figures of a record are invalid; None if they are valid."""
    case = side.record.case
    if case.limit is not None and case.cap == "none":
        return "its limit was not enforced (cap none)"
    good = [m for m in side.record.rounds if m.outcome == "ok"]
    for m in good:
        if m.read_bytes is not None and m.bound_read_bytes and m.read_bytes < _WARM * m.bound_read_bytes:
            return f"round {m.round} found its weights in the page cache"
    return None


def incomparable(figure: Figure, then: Case, now: Case, *, is_alike: bool) -> str | None:
    """Return why a figure cannot be compared with that of a baseline; None if it can."""
    if (then.swap in {"none", "off"}) != (now.swap in {"none", "off"}):
        return f"swap was {then.swap} then, and is {now.swap} now"
    if not figure.is_exact and then.unenforced != now.unenforced:
        unenforced = (", ".join(map(str, case.unenforced)) or "none" for case in (then, now))
        return "unenforced constraints differ: {} then, {} now".format(*unenforced)
    if figure.reference is not None or figure.is_exact:
        return None
    if not is_alike:
        return "times of another machine cannot be compared; try a ratio such as makespan/bulk:10%"
    return None if then.cap == now.cap else f"the cap was {then.cap} then, and is {now.cap} now"


def _too_few(runs: Runs, figure: Figure) -> str | None:
    if not runs:
        return f"no round has {figure}"
    needed = lacking(runs, figure.stat)
    return None if needed is None else f"{figure.stat} needs {needed} samples, but there are {sum(map(len, runs))}"
