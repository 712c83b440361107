"""Judging: the verdict on one figure of one case, compared with a baseline or a ceiling. Pure functions of records.

A regression needs both a large enough change and enough evidence, and so does an improvement. The change is large
enough if it exceeds the threshold. The evidence is enough if chance alone would hardly explain it: for a time, neither
that the change exceeds the threshold nor the order of the runs; for bytes and counts, the change itself.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace

from pytest_edgeload.results.bootstrap import Distribution, Runs, contrast, resampled
from pytest_edgeload.results.claims import Claim, Judged
from pytest_edgeload.results.evidence import DOUBT, rank_chance, too_few_rounds, widening
from pytest_edgeload.results.finding import Finding, Side, Verdict, incomparable
from pytest_edgeload.results.own import optional_metrics
from pytest_edgeload.results.statistics import both, change_of, lacking, outcomes, value_of
from pytest_edgeload.results.threshold import Ceiling, Figure, Threshold

_MAX_ROUNDS = 100  # more are not recommended
_OF_HEAT = {"throttled_s", "max_temperature_c", "min_frequency_share"}  # valid exactly because it was throttled
_WARM = 0.5  # of the weights: a run that read less found the rest in the page cache


def judge(threshold: Threshold, before: Side | None, after: Side, *, is_alike: bool) -> Judged:
    """Return the finding on a figure since the baseline; `before` is None if the baseline does not have the case.

    `is_alike` says whether the baseline was measured on the same kind of machine.
    """
    sides = [after] if before is None else [after, before]
    figure, case = threshold.figure.known(optional_metrics(side.record for side in sides)), after.record.case
    if before is None:
        return Finding(case, figure, threshold.text, "new", "the baseline has no such case")
    if figure.is_optional and figure.metric not in optional_metrics([before.record]):
        return Finding(case, figure, threshold.text, "new", f"the baseline has no {figure.metric} of this case")
    obstacle = _unfit(threshold, figure) or _obstacle(figure, before, after, is_alike=is_alike)
    if obstacle is not None:
        return Finding(case, figure, threshold.text, *obstacle)
    known = replace(threshold, figure=figure)
    return _compare(known, before.runs(figure), after.runs(figure), Finding(case, figure, threshold.text, "ok"))


def _unfit(limit: Threshold | Ceiling, figure: Figure) -> tuple[Verdict, str] | None:
    """Return the verdict and its reason if the limit has no meaning for the figure, whose metric is known by now."""
    if figure.kind.better == "neither":
        hint = "report it with the direction higher or lower"
        return "invalid", f"{figure.metric} is neither better nor worse when it changes; {hint}"
    mismatch = limit.mismatch(figure.unit)
    return None if mismatch is None else ("invalid", mismatch)


def _obstacle(figure: Figure, before: Side, after: Side, *, is_alike: bool) -> tuple[Verdict, str] | None:
    """Return the verdict and its reason if the figures need not or cannot be compared."""
    then, now = outcomes(before.record), outcomes(after.record)
    different = incomparable(figure, before.record.case, after.record.case, is_alike=is_alike)
    different = different or _changed_unit(figure, before, after)
    invalid = _invalid(after, figure) or _invalid(before, figure)
    if invalid is None and set(then) == {"ok"} and set(now) != {"ok"}:
        failed = ", ".join(f"{count} {outcome}" for outcome, count in now.items())
        return "regressed", f"all rounds were ok then; now {failed}"
    if invalid is None and different is not None:
        return "incomparable", different
    invalid = invalid or _too_few(before.runs(figure), figure) or _too_few(after.runs(figure), figure)
    return None if invalid is None else ("invalid", invalid)


def _changed_unit(figure: Figure, before: Side, after: Side) -> str | None:
    """Return why a metric that the programs reported cannot be compared; None if its unit is the same."""
    then, now = (optional_metrics([side.record]).get(figure.metric) for side in (before, after))
    if then is None or now is None or then.unit == now.unit:
        return None
    return f"its unit was {then.unit or 'none'} then, and is {now.unit or 'none'} now"


def judge_ceiling(ceiling: Ceiling, after: Side) -> Judged:
    """Return the finding on a figure and the ceiling that its test declares. A single run has to keep to it as well."""
    figure, case = ceiling.figure.known(optional_metrics([after.record])), after.record.case
    runs = after.runs(figure)
    reason = _invalid(after, figure) or _too_few(runs, figure)
    if reason is not None:
        return Finding(case, figure, ceiling.text, "invalid", reason)
    unfit = _unfit(ceiling, figure)
    if unfit is not None:
        return Finding(case, figure, ceiling.text, *unfit)
    value = value_of(runs, figure.stat)
    assert value is not None  # or there would be too few samples
    finding = Finding(case, figure, ceiling.text, "ok", now=value)
    if _sign(figure) * (value - ceiling.value) <= 0:
        return finding
    above = resampled(runs, value, figure.stat).mapped(lambda now: _sign(figure) * (now - ceiling.value))
    regressed = replace(finding, verdict="regressed")
    return regressed if figure.is_exact else Claim(regressed, above.doubt, _Undecided.of(regressed, above))


def _compare(threshold: Threshold, before: Runs, after: Runs, finding: Finding) -> Judged:
    """Return the claim that the figure became worse or better by more than the threshold allows, else the finding."""
    figure, sign = threshold.figure, _sign(threshold.figure)
    sides = both(before, after, figure.stat)
    assert sides is not None  # or there would be too few samples

    worse = contrast(*sides, lambda then, now: sign * (now - then))
    loss = contrast(*sides, lambda then, now: sign * (now - then) - threshold.allowed(then))
    gain = contrast(*sides, lambda then, now: sign * (then - now) - threshold.allowed(then))
    finding = replace(finding, then=sides[0].value, now=sides[1].value, change=change_of(*sides))
    if loss.value > 0:
        chance = worse.doubt if figure.is_exact else _chance(loss, figure, before, after)
        regressed = replace(finding, verdict="regressed")
        return Claim(regressed, chance, _Undecided.of(regressed, loss, needs_rounds=not figure.is_exact))
    finding = finding if figure.is_exact else _unless_blurred(finding, worse, loss)
    if gain.value > 0:
        chance = worse.mapped(operator.neg).doubt if figure.is_exact else _chance(gain, figure, after, before)
        return Claim(replace(finding, verdict="improved", reason=""), chance, lambda _comparisons: finding)
    return finding


@dataclass(frozen=True, slots=True)
class _Undecided:
    """The finding on a regression that may be chance.

    `half` is half a 95 % interval, which would have to be smaller than `distance`.
    """

    regressed: Finding
    half: float
    distance: float
    runs: int
    needs_rounds: bool = False

    @classmethod
    def of(cls, regressed: Finding, loss: Distribution, *, needs_rounds: bool = False) -> _Undecided:
        """Return the finding if `loss` is not certain to be above zero."""
        return cls(regressed, loss.half, loss.value, loss.runs, needs_rounds)

    def __call__(self, comparisons: int) -> Finding:
        """Return the finding among so many comparisons."""
        few = too_few_rounds(self.runs, comparisons) if self.needs_rounds else ""
        reason = few or _too_noisy(self.half * widening(comparisons), self.distance, self.runs)
        return replace(self.regressed, verdict="inconclusive", reason=reason)


def _sign(figure: Figure) -> int:
    """Return the factor that makes a higher value worse."""
    return -1 if figure.is_higher_better else 1


def _chance(beyond: Distribution, figure: Figure, better: Runs, worse: Runs) -> float:
    """Return the larger of two probabilities: that the change is within the limit, and that nothing has changed."""
    lower, higher = (worse, better) if figure.is_higher_better else (better, worse)
    return max(beyond.doubt, rank_chance(lower, higher, figure.stat))


def _unless_blurred(finding: Finding, worse: Distribution, loss: Distribution) -> Finding:
    """Return the finding, or an inconclusive one if there are too few rounds or the noise may hide a regression."""
    reason = too_few_rounds(worse.runs, 1)
    if not reason and min(worse.doubt, loss.mapped(operator.neg).doubt) > DOUBT:
        reason = _too_noisy(worse.half, worse.value - loss.value, worse.runs)
    return replace(finding, verdict="inconclusive", reason=reason) if reason else finding


def _too_noisy(half: float, distance: float, runs: int) -> str:
    """Return words for the number of rounds that would decide, if half an interval is too wide for `distance`.

    The width of an interval is inversely proportional to the square root of the rounds.
    """
    rounds = math.inf if distance == 0 else runs * (half / distance) ** 2
    if rounds > _MAX_ROUNDS:
        return f"too noisy for up to {_MAX_ROUNDS} rounds; allow a larger change"
    return f"too noisy; about {max(math.ceil(rounds), runs + 1)} rounds would decide"


def _invalid(side: Side, figure: Figure) -> str | None:
    """Return why the values of a figure are invalid in a record; None if they are valid."""
    case = side.record.case
    if case.limit is not None and case.cap == "none":
        return "its limit was not enforced (cap none)"
    good = [m for m in side.record.rounds if m.outcome == "ok"]
    for m in good:
        if m.read_bytes is not None and m.bound_read_bytes and m.read_bytes < _WARM * m.bound_read_bytes:
            return f"round {m.round} found its weights in the page cache"
        if m.throttled_s and not figure.is_exact and figure.metric not in _OF_HEAT:
            return f"the processor was throttled in round {m.round}"
    return None


def _too_few(runs: Runs, figure: Figure) -> str | None:
    if not runs:
        return f"no round has {figure}"
    needed = lacking(runs, figure.stat)
    return None if needed is None else f"{figure.stat} needs {needed} samples, but there are {sum(map(len, runs))}"
