"""Whether figures became worse than a threshold allows: pure functions of records.

A regression needs effect and evidence. Effect: the figure is worse than then by more than the threshold allows.
Evidence: for what clocks say, that its interval is, too; for bytes and counts, that it is worse at all. The confidence
is shared out among all that is judged (Bonferroni), so that a hundred cases raise no more false alarms than one.
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

_MOST_ROUNDS = 100
_WARM = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one figure of one case. `then` is None for a ceiling, and where there is nothing to compare.

    `change` is relative to what was, where that was not 0.
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
        changed = ""
        if self.now is not None:
            then = "" if self.then is None else f"{self.figure.show(self.then)} -> "
            changed = f" {then}{self.figure.show(self.now)}{self._change()}"
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.figure}{changed}, limit {self.limit}{reason}"

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
    """A record, and that of the reference policy in its group, in one session."""

    record: Record
    reference: Record | None = None

    def runs(self, figure: Figure) -> Runs:
        """Return the samples of `figure`."""
        return runs_of(self.record, figure, self.reference)


@dataclass(frozen=True, slots=True)
class Sides:
    """All records of a session by what makes a case the same in every session."""

    records: Mapping[Case, Record]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Sides:
        """Return the sides of a session's records."""
        return cls({identity(record.case): record for record in records})

    def side(self, case: Case, reference: str | None) -> Side | None:
        """Return what was measured of `case`; None if nothing was."""
        record = self.records.get(identity(case))
        if record is None:
            return None
        other = None if reference is None else msgspec.structs.replace(identity(case), policy=reference)
        return Side(record, None if other is None else self.records.get(other))


def identity(case: Case) -> Case:
    """Return what makes a case the same in every session: not what `base+` came to, and not what could enforce it.

    Its parameters are those of its test's id, and stand there already.
    """
    constraints = case.constraints.without(["memory_bytes"])
    return msgspec.structs.replace(
        case, constraints=constraints, cap="", swap="", parameters=(), by_device=(), unenforced=()
    )


def judge(threshold: Threshold, before: Side | None, after: Side, *, judged: int, is_alike: bool) -> Finding:
    """Return what became of a figure since the baseline, which may have nothing to compare it with.

    `judged` is how many figures are judged in all; `is_alike`, whether the baseline was measured on such a machine.
    """
    figure, case = threshold.figure, after.record.case
    if before is None:
        return Finding(case, figure, threshold.text, "new", "the baseline has no such case")
    known = _known(figure, before, after, is_alike=is_alike)
    if known is not None:
        return Finding(case, figure, threshold.text, *known)
    return _compare(threshold, before.runs(figure), after.runs(figure), case, judged)


def _known(figure: Figure, before: Side, after: Side, *, is_alike: bool) -> tuple[Verdict, str] | None:
    """Return the verdict where no figures need to be compared, and its reason."""
    then, now = outcomes(before.record), outcomes(after.record)
    different = incomparable(figure, before.record.case, after.record.case, is_alike=is_alike)
    invalid = _invalid(after) or _invalid(before)
    if invalid is None and set(then) == {"ok"} and set(now) != {"ok"}:
        failed = ", ".join(f"{count} {outcome}" for outcome, count in now.items())
        return "regressed", f"all rounds were ok, and now {failed}"
    if invalid is None and different is not None:
        return "incomparable", different
    invalid = invalid or _too_few(before.runs(figure), figure) or _too_few(after.runs(figure), figure)
    return None if invalid is None else ("invalid", invalid)


def judge_ceiling(ceiling: Ceiling, after: Side, *, judged: int) -> Finding:
    """Return whether a figure keeps to what its test allows."""
    figure, case = ceiling.figure, after.record.case
    runs = after.runs(figure)
    reason = _invalid(after) or _too_few(runs, figure)
    if reason is not None:
        return Finding(case, figure, ceiling.text, "invalid", reason)
    found = estimate(runs, figure.stat, 1 - (1 - CONFIDENCE) / judged)
    assert found is not None  # or there would be too few
    sign = -1 if figure.is_higher_better else 1
    verdict: Verdict = "ok"
    reason = ""
    if sign * (found.value - ceiling.value) > 0:
        interval = found.interval
        nearest = found.value if interval is None else interval.high if figure.is_higher_better else interval.low
        is_evident = figure.is_exact or sign * (nearest - ceiling.value) > 0
        verdict = "regressed" if is_evident else "inconclusive"
        reason = "" if is_evident else f"its interval reaches to {figure.show(nearest)}; more rounds would tell"
    return Finding(case, figure, ceiling.text, verdict, reason, None, found.value)


def missing(before: Iterable[Record], after: Iterable[Record]) -> list[Case]:
    """Return the cases of the baseline that were not measured, of the tests that were."""
    after = list(after)
    measured, tests = {identity(record.case) for record in after}, {record.case.test for record in after}
    cases = (record.case for record in before)
    return [case for case in cases if case.test in tests and identity(case) not in measured]


def rounds_needed(judged: int) -> int:
    """Return the rounds a side without which no difference of times is evidence, however large.

    That all of n runs are slower than all of n others happens by chance once in C(2n, n) times.
    """
    rounds = 1
    while math.comb(2 * rounds, rounds) < judged / (1 - CONFIDENCE):
        rounds += 1
    return rounds


def _compare(threshold: Threshold, then: Runs, now: Runs, case: Case, judged: int) -> Finding:
    figure = threshold.figure
    sign = -1 if figure.is_higher_better else 1
    confidence = 1 - (1 - CONFIDENCE) / judged
    worse = contrast(then, now, figure.stat, lambda a, b: sign * (b - a), confidence)

    def exceeded(term: Term) -> Estimate:
        return contrast(then, now, figure.stat, lambda a, b: sign * (b - a) - term.allowed(a), confidence)

    beyond = [exceeded(term) for term in threshold.terms]
    value = estimate(then, figure.stat), estimate(now, figure.stat)
    assert value[0] is not None
    assert value[1] is not None
    verdict, reason = _verdict(figure, worse, beyond, judged)
    was = value[0].value
    change = contrast(then, now, figure.stat, lambda a, b: (b - a) / (a if was else 1), confidence)
    return Finding(case, figure, threshold.text, verdict, reason, was, value[1].value, change)


def _verdict(figure: Figure, worse: Estimate, beyond: Sequence[Estimate], judged: int) -> tuple[Verdict, str]:
    """Return the verdict, and the reason where it is none; `beyond` is how far each term of the limit is exceeded."""
    nearest = min(beyond, key=lambda one: one.value)
    allowed = worse.value - nearest.value
    if figure.is_exact:
        is_evident, is_blurred = worse.interval is None or worse.interval.low > 0, False
    elif worse.runs < rounds_needed(judged) or worse.interval is None:
        reason = f"{worse.runs} of {rounds_needed(judged)} rounds a side that {judged} comparisons need"
        return "inconclusive", reason
    else:
        is_evident = all(one.interval is not None and one.interval.low > 0 for one in beyond)
        reaches = all(one.interval is not None and one.interval.high > 0 for one in beyond)
        is_blurred = reaches and worse.interval.low <= 0
    if nearest.value > 0:
        return ("regressed", "") if is_evident else ("inconclusive", _rounds(nearest, nearest.value, judged))
    if -worse.value > allowed and (worse.interval is None or worse.interval.high < 0):
        return "improved", ""
    return ("inconclusive", _rounds(worse, allowed, judged)) if is_blurred else ("ok", "")


def _rounds(found: Estimate, distance: float, judged: int) -> str:
    """Return words for how many rounds would settle a comparison whose interval is too wide for `distance`.

    An interval narrows by the square root of the rounds.
    """
    assert found.interval is not None
    half = (found.interval.high - found.interval.low) / 2
    rounds = math.inf if distance == 0 else found.runs * (half / distance) ** 2
    if rounds > _MOST_ROUNDS:
        return f"too noisy, more than {_MOST_ROUNDS} rounds would be needed; allow more"
    return f"too noisy, about {max(math.ceil(rounds), found.runs + 1, rounds_needed(judged))} rounds would settle it"


def _invalid(side: Side) -> str | None:
    """Return why the figures of a record say nothing, if that is so."""
    case = side.record.case
    if case.limit is not None and case.cap == "none":
        return "its limit was not enforced (cap none)"
    good = [m for m in side.record.rounds if m.outcome == "ok"]
    for m in good:
        if m.read_bytes is not None and m.bound_read_bytes and m.read_bytes < _WARM * m.bound_read_bytes:
            return f"round {m.round} found its weights in the page cache"
    return None


def incomparable(figure: Figure, then: Case, now: Case, *, is_alike: bool) -> str | None:
    """Return why a figure cannot be compared with that of a baseline, if that is so."""
    if (then.swap in {"none", "off"}) != (now.swap in {"none", "off"}):
        return f"swap was {then.swap}, and is {now.swap}"
    if not figure.is_exact and then.unenforced != now.unenforced:
        was, is_now = (", ".join(map(str, case.unenforced)) or "nothing" for case in (then, now))
        return f"of its device {was} was not enforced, and now {is_now} is not"
    if figure.reference is not None or figure.is_exact:
        return None
    if not is_alike:
        return "the baseline is of another machine, whose times say nothing here; try a ratio such as makespan/bulk:10%"
    return None if then.cap == now.cap else f"the cap was {then.cap}, and is {now.cap}"


def _too_few(runs: Runs, figure: Figure) -> str | None:
    if not runs:
        return f"no round has {figure}"
    needed = lacking(runs, figure.stat)
    return None if needed is None else f"{figure.stat} needs {needed} samples, and there are {sum(map(len, runs))}"
