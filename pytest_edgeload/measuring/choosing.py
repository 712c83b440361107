"""The best choices under one limit, without the predictions that cannot change the answer. It runs nothing.

All policies are predicted with the usual reader and the most threads, the best of them with the other readers, and with
other numbers of threads and the best of these. This part is a heuristic: a combination that is not tried may be better.
If requests keep arriving, the first of them are predicted first: those that are late bound the share in time of all.
So few choices need a prediction of all requests, and none that misses the goal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pytest_edgeload.measuring.predictor import AS_IT_IS, Predictor, Slowdown
from pytest_edgeload.results.advice import (
    TIE_SHARE,
    ChoiceRun,
    LimitAdvice,
    Objective,
    PolicyChoice,
    best_first,
    bound_of_all,
    in_order,
)

_TOP = 3  # policies, which are tried with all readers and threads
_BEGINNING = 0.4  # the share of the first requests; fewer would leave more choices open


class SearchSpace(NamedTuple):
    """The policies, the readers and the numbers of threads to choose from; without readers, the reader `auto`.

    Only the best policies are tried with other readers and threads.
    """

    policies: Sequence[str]
    readers: Sequence[str] = ()
    threads: Sequence[int] = (1,)


@dataclass(frozen=True)
class Chooser:
    """Predicts choices for a workload, and orders them by an objective."""

    predictor: Predictor
    objective: Objective
    space: SearchSpace

    def choose(self, limit_bytes: int, slowdown: Slowdown, policies: Sequence[str]) -> LimitAdvice:
        """Return the predictions of `policies` under a limit, the best first."""
        if self._beginning is None:
            return best_first(self._spread(self.predictor, limit_bytes, slowdown, policies), self.objective)
        bounds = self._bounds(self._beginning, limit_bytes, slowdown, policies)
        return best_first(self._finished(bounds, self.objective, slowdown, 0.0), self.objective)

    def with_ties(self, advice: LimitAdvice) -> LimitAdvice:
        """Return the advice for a limit with the predictions of all policies that may be tied with its best choice."""
        return best_first(self._finished(advice.predictions, self.objective, AS_IT_IS, TIE_SHARE), self.objective)

    def with_policy(self, advice: LimitAdvice, policy: str, slowdown: Slowdown) -> LimitAdvice:
        """Return the advice for a limit with a prediction of all requests for `policy`, also if it misses the goal."""
        is_bound = any(each.is_bound for each in advice.predictions if each.choice.policy == policy)
        if self._beginning is None or not is_bound:
            return advice
        any_value = Objective(self.objective.metric)
        bounds = self._bounds(self._beginning, advice.limit_bytes, slowdown, [policy])
        others = [each for each in advice.predictions if each.choice.policy != policy]
        return best_first([*others, *self._finished(bounds, any_value, slowdown, 0.0)], self.objective)

    @cached_property
    def _beginning(self) -> Predictor | None:
        """The predictor of the first requests; None if they say too little about the others."""
        count = int(len(self.predictor.mix.asks) * _BEGINNING)
        if self.objective.metric != "in_time" or not self.predictor.begins_alike or not count:
            return None
        return self.predictor.beginning(count)

    def _bounds(
        self, beginning: Predictor, limit_bytes: int, slowdown: Slowdown, policies: Sequence[str]
    ) -> list[ChoiceRun]:
        """Return the largest share in time that choices can reach, by the predictions of the first requests."""
        counts = len(beginning.mix.asks), len(self.predictor.mix.asks)
        return [bound_of_all(each, *counts) for each in self._spread(beginning, limit_bytes, slowdown, policies)]

    def _spread(
        self, predictor: Predictor, limit_bytes: int, slowdown: Slowdown, policies: Sequence[str]
    ) -> list[ChoiceRun]:
        """Return the predictions of policies with the usual reader, and of the best with other readers and threads."""
        space, most = self.space, max(self.space.threads)
        first = space.readers[0] if len(space.readers) == 1 else predictor.usual_reader
        tried = [self._run(predictor, PolicyChoice(policy, first, most), limit_bytes, slowdown) for policy in policies]
        ordered = [each for each in best_first(tried, self.objective).predictions if each.works]
        for each in ordered[:_TOP]:
            tried += self._others(predictor, each, slowdown)
        return tried

    def _others(self, predictor: Predictor, usual: ChoiceRun, slowdown: Slowdown) -> list[ChoiceRun]:
        """Return the predictions of a policy with the other readers, then with other threads and the best reader."""
        policy, limit_bytes, most = usual.choice.policy, usual.limit_bytes, usual.choice.threads

        def runs(readers: Iterable[str], threads: Iterable[int]) -> list[ChoiceRun]:
            choices = [PolicyChoice(policy, reader, count) for reader, count in itertools.product(readers, threads)]
            return [self._run(predictor, each, limit_bytes, slowdown) for each in choices if each != usual.choice]

        found = runs(self.space.readers or (predictor.reader(policy, limit_bytes),), (most,))
        best = in_order([usual, *found], self.objective)[0]
        is_perfect = predictor is self.predictor and self.objective.metric == "in_time" and best.value == 1
        if not is_perfect:  # the first requests may be in time, and later ones late
            found += runs((best.choice.reader,), [count for count in self.space.threads if count != most])
        return found

    def _finished(
        self, runs: Iterable[ChoiceRun], objective: Objective, slowdown: Slowdown, tie_share: float
    ) -> list[ChoiceRun]:
        """Return the runs, and those that are bounds to the end if they may be good enough.

        They are if they may meet the goal, and be better than all the others, or behind by less than `tie_share`.
        """
        found: list[ChoiceRun] = []
        for each in in_order(runs, objective):
            works = [other for other in found if other.works]
            is_open = each.is_bound and _may_count(each, works, objective, tie_share)
            found.append(self._run(self.predictor, each.choice, each.limit_bytes, slowdown) if is_open else each)
        return found

    def _run(self, predictor: Predictor, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown) -> ChoiceRun:
        run = predictor.predict(choice, limit_bytes, slowdown)
        if run is None:
            return ChoiceRun(choice, limit_bytes, "no plan")
        return ChoiceRun.of(choice, limit_bytes, self.objective, run)


def _may_count(bound: ChoiceRun, finished: Sequence[ChoiceRun], objective: Objective, tie_share: float) -> bool:
    if bound.value is None or not objective.is_met(bound.value):
        return False
    behind = {each.choice: objective.excess(bound.value, each.value or 0.0) for each in finished}
    own = [share for choice, share in behind.items() if choice.policy == bound.choice.policy]
    return all(share < tie_share for share in behind.values()) and all(share < 0 for share in own)
