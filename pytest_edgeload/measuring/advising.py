"""The search for advice: which choices are predicted under which limits. It runs nothing.

First all policies run in virtual time under each limit of a ladder, with the usual reader. The best of them are tried
with the other readers and numbers of threads. A goal is then searched between two limits of the ladder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_edgeload.measuring.predictor import AS_IT_IS, Predictor, Slowdown
from pytest_edgeload.results.advice import (
    AdviceChange,
    Circumstance,
    LimitAdvice,
    Objective,
    PolicyChoice,
    Prediction,
    best_first,
    changes_by_limit,
    gain_over,
    ladder,
    recommended,
    rounded,
)

_STEPS = 6  # of the ladder
_TOP = 3  # policies, which are tried with all readers and threads
_CONTENDERS = 4  # policies that may be better in other circumstances
_PROBES = 4  # between two limits of the ladder
_SLOWER = 2.0
_CIRCUMSTANCES: tuple[tuple[Circumstance, Slowdown], ...] = (
    ("slower reads", Slowdown(read=_SLOWER)),
    ("slower processor", Slowdown(compute=_SLOWER)),
)


class Options(NamedTuple):
    """The policies, the readers and the numbers of threads to choose from; without readers, the reader `auto`.

    Only the best policies are tried with all readers and threads.
    """

    policies: Sequence[str]
    readers: Sequence[str] = ()
    threads: Sequence[int] = (1,)


@dataclass(frozen=True)
class Advisor:
    """The predictions so far. `show` is called with the limit before its predictions are made."""

    predictor: Predictor
    objective: Objective
    options: Options
    show: Callable[[int], None]
    limits: dict[int, LimitAdvice] = field(default_factory=dict)

    def ladder(self, at_most: int | None) -> list[int]:
        """Return the limits from the smallest that any policy needs up to everything in memory; [] if none works."""
        predictor = self.predictor
        low, high = predictor.low_limit_bytes(self.options.policies), predictor.ample_limit_bytes
        if low is None:
            return []
        steps = ladder(low, max(low, high), predictor.min_limit_bytes, _STEPS)
        return steps if at_most is None else sorted({*(each for each in steps if each < at_most), at_most})

    def at(self, limit_bytes: int) -> LimitAdvice:
        """Return the advice for a limit."""
        if limit_bytes not in self.limits:
            self.show(limit_bytes)
            self.limits[limit_bytes] = self._predict(limit_bytes, AS_IT_IS, self.options.policies)
        return self.limits[limit_bytes]

    def advise(self, limits: Sequence[int]) -> tuple[LimitAdvice | None, tuple[AdviceChange, ...]]:
        """Return the advice for the limit to use, and what would change it; None if no limit will do.

        Without a goal, it is one of `limits`; with a goal, smaller limits are tried as well.
        """
        advice = recommended([self.at(limit) for limit in limits], self.objective)
        if advice is None:
            return None, ()
        if self.objective.worst is not None:
            advice = self._narrowed(advice, [limit for limit in limits if limit < advice.limit_bytes])
        by_limit = changes_by_limit([self.limits[limit] for limit in sorted(self.limits)], advice, self.objective)
        return advice, (*by_limit, *self._in_other_circumstances(advice))

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
            best = None if tried.best is None else tried.best.value
            if best is not None and self.objective.is_met(best):
                enough = tried
            else:
                low = middle
        return enough

    def _in_other_circumstances(self, advice: LimitAdvice) -> list[AdviceChange]:
        """Return the better choices on a slower machine, among the best ones on this machine."""
        best, found = advice.best, []
        if best is None:
            return []
        for circumstance, slowdown in _CIRCUMSTANCES:
            others = self._predict(advice.limit_bytes, slowdown, advice.working[:_CONTENDERS])
            if others.best is None or best.choice.policy in (others.best.choice.policy, *others.tied):
                continue
            is_read = circumstance == "slower reads"
            at = self.predictor.read_bytes_per_s(best.choice.reader) / _SLOWER if is_read else 1 / _SLOWER
            gain = gain_over(best.choice.policy, others, self.objective)
            found.append(AdviceChange(circumstance, at, others.best.choice, gain))
        return found

    def _predict(self, limit_bytes: int, slowdown: Slowdown, policies: Sequence[str]) -> LimitAdvice:
        """Return the predictions of policies under a limit: of the best ones with all readers and threads."""
        options, first = self.options, self.predictor.usual_reader
        if len(options.readers) == 1:
            first = options.readers[0]
        choices = [PolicyChoice(policy, first, max(options.threads)) for policy in policies]
        tried = {choice: self._prediction(choice, limit_bytes, slowdown) for choice in choices}
        for policy in best_first(tried.values(), self.objective).working[:_TOP]:
            readers = options.readers or (self.predictor.reader(policy, limit_bytes),)
            for reader, threads in itertools.product(readers, options.threads):
                choice = PolicyChoice(policy, reader, threads)
                if choice not in tried:
                    tried[choice] = self._prediction(choice, limit_bytes, slowdown)
        return best_first(tried.values(), self.objective)

    def _prediction(self, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown) -> Prediction:
        run = self.predictor.run(choice, limit_bytes, slowdown)
        if run is None:
            return Prediction(choice, limit_bytes, "no plan")
        return Prediction.of(choice, limit_bytes, self.objective, run)
