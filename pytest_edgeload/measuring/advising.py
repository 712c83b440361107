"""The search for advice: the limits under which choices are predicted. It runs nothing.

First come the limits of a ladder. A goal is then searched between two of them.

A `Predictor` returns the measurement of one choice under one limit, the `Chooser` the best choices under a limit, and
the `Advisor` the limit to use.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pytest_edgeload.measuring.choosing import Chooser
from pytest_edgeload.measuring.predictor import AS_IT_IS, Predictor, Slowdown
from pytest_edgeload.results.advice import (
    AdviceChange,
    ChoiceRun,
    Circumstance,
    LimitAdvice,
    Objective,
    change_to,
    ladder,
    recommended,
    rounded,
)

_STEPS = 6  # of the ladder
_PROBES = 4  # between two limits of the ladder
_SLOWER = 2.0
_CIRCUMSTANCES: tuple[tuple[Circumstance, Slowdown], ...] = (
    ("slower reads", Slowdown(read=_SLOWER)),
    ("slower processor", Slowdown(compute=_SLOWER)),
)


@dataclass(frozen=True)
class Advisor:
    """The limits so far, each with its choices. `show` is called with a limit before its predictions are made."""

    chooser: Chooser
    show: Callable[[int], None]
    limits: dict[int, LimitAdvice] = field(default_factory=dict)

    @property
    def predictor(self) -> Predictor:
        """The predictor of all requests."""
        return self.chooser.predictor

    @property
    def objective(self) -> Objective:
        """The objective by which choices are compared."""
        return self.chooser.objective

    def ladder(self, at_most: int | None) -> list[int]:
        """Return the limits from the smallest that any policy needs up to everything in memory; [] if none works."""
        predictor = self.predictor
        low, high = predictor.low_limit_bytes(self.chooser.space.policies), predictor.ample_limit_bytes
        if low is None:
            return []
        steps = ladder(low, max(low, high), predictor.min_limit_bytes, _STEPS)
        return steps if at_most is None else sorted({*(each for each in steps if each < at_most), at_most})

    def at(self, limit_bytes: int) -> LimitAdvice:
        """Return the advice for a limit."""
        if limit_bytes not in self.limits:
            self.show(limit_bytes)
            self.limits[limit_bytes] = self.chooser.choose(limit_bytes, AS_IT_IS, self.chooser.space.policies)
        return self.limits[limit_bytes]

    def advise(self, limits: Sequence[int]) -> tuple[LimitAdvice | None, tuple[AdviceChange, ...]]:
        """Return the advice for the limit to use, and what would change it; None if no limit will do.

        Without a goal, it is one of `limits`; with a goal, smaller limits are tried as well.
        """
        advice = recommended([self.at(limit) for limit in limits], self.objective)
        if advice is None:
            self._finish_one(max(limits, default=0))
            return None, ()
        if self.objective.worst is not None:
            advice = self._narrowed(advice, [limit for limit in limits if limit < advice.limit_bytes])
        advice = self.limits[advice.limit_bytes] = self.chooser.with_ties(advice)
        policies = [each.choice.policy for each in advice.predictions if each.value is not None]
        return advice, () if advice.best is None else tuple(self._changes(advice.best, policies))

    def _finish_one(self, limit_bytes: int) -> None:
        """Predict all requests under a limit for the policies with the best bounds, until one of them works."""
        advice = self.limits.get(limit_bytes)
        while advice is not None and advice.nearest is not None and advice.nearest.is_bound:
            policy = advice.nearest.choice.policy
            advice = self.limits[limit_bytes] = self.chooser.with_policy(advice, policy, AS_IT_IS)

    def _narrowed(self, enough: LimitAdvice, smaller: Sequence[int]) -> LimitAdvice:
        """Return the advice for the smallest limit that meets the goal, which is above the largest one that does not.

        No limit below all others is tried: a policy would have to swap.
        """
        low = max(smaller, default=enough.limit_bytes)
        for _ in range(_PROBES):
            middle = rounded((low + enough.limit_bytes) // 2, enough.limit_bytes - self.predictor.min_limit_bytes)
            if not low < middle < enough.limit_bytes:
                break
            tried = self.at(middle)
            if tried.meets(self.objective):
                enough = tried
            else:
                low = middle
        return enough

    def _changes(self, best: ChoiceRun, policies: Sequence[str]) -> Iterator[AdviceChange]:
        """Yield the nearest limits, and the slower machines, for which another policy is clearly better."""
        smaller = [limit for limit in sorted(self.limits, reverse=True) if limit < best.limit_bytes]
        larger = [limit for limit in sorted(self.limits) if limit > best.limit_bytes]
        directions: tuple[tuple[Circumstance, list[int]], ...] = (("less memory", smaller), ("more memory", larger))
        for circumstance, limits in directions:
            changes = (self._change(circumstance, limit, best, self.limits[limit], AS_IT_IS) for limit in limits)
            yield from itertools.islice(filter(None, changes), 1)
        for circumstance, slowdown in _CIRCUMSTANCES:
            is_read = circumstance == "slower reads"
            at = self.predictor.read_bytes_per_s(best.choice.reader) / _SLOWER if is_read else 1 / _SLOWER
            others = self.chooser.choose(best.limit_bytes, slowdown, policies)
            if (change := self._change(circumstance, at, best, others, slowdown)) is not None:
                yield change

    def _change(
        self, circumstance: Circumstance, at: float, best: ChoiceRun, others: LimitAdvice, slowdown: Slowdown
    ) -> AdviceChange | None:
        policy = best.choice.policy
        if others.meets(self.objective):
            others = self.chooser.with_policy(others, policy, slowdown)
        return change_to(circumstance, at, policy, others, self.objective)
