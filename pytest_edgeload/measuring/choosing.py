"""The best choices under one limit, without the predictions that cannot change the answer. It runs nothing.

All policies are predicted with the usual reader and the most threads, and the best of them with the other readers and
numbers of threads. If requests keep arriving, a third of them comes first: the requests that are late among them
bound the share in time of all, so that few choices need a prediction of all requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
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
_BEGINNING = 3  # the first requests are so many times fewer than all


class SearchSpace(NamedTuple):
    """The policies, the readers and the numbers of threads to choose from; without readers, the reader `auto`.

    Only the best policies are tried with all readers and threads.
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
            return best_first(self._spread(self.predictor, limit_bytes, slowdown, policies).values(), self.objective)
        begun = self._spread(self._beginning, limit_bytes, slowdown, policies)
        counts = len(self._beginning.mix.asks), len(self.predictor.mix.asks)
        bounds = [bound_of_all(each, *counts) for each in begun.values()]
        return best_first(self._finished(bounds, slowdown, 0.0), self.objective)

    def with_ties(self, advice: LimitAdvice) -> LimitAdvice:
        """Return the advice for a limit with the predictions of all policies that may be tied with its best choice."""
        return best_first(self._finished(advice.predictions, AS_IT_IS, TIE_SHARE), self.objective)

    def with_policy(self, advice: LimitAdvice, policy: str, slowdown: Slowdown) -> LimitAdvice:
        """Return the advice for a limit with a prediction of all requests for `policy`."""
        if not any(each.is_bound for each in advice.predictions if each.choice.policy == policy):
            return advice
        own = self._spread(self.predictor, advice.limit_bytes, slowdown, [policy])
        others = [each for each in advice.predictions if each.choice.policy != policy]
        return best_first([*others, *own.values()], self.objective)

    @cached_property
    def _beginning(self) -> Predictor | None:
        """The predictor of the first requests; None if they say too little about the others."""
        count = len(self.predictor.mix.asks) // _BEGINNING
        if self.objective.metric != "in_time" or not self.predictor.begins_alike or not count:
            return None
        return self.predictor.beginning(count)

    def _spread(
        self, predictor: Predictor, limit_bytes: int, slowdown: Slowdown, policies: Sequence[str]
    ) -> Mapping[PolicyChoice, ChoiceRun]:
        """Return the predictions of policies with the usual reader; of the best, with all readers and threads."""
        space = self.space
        first = space.readers[0] if len(space.readers) == 1 else predictor.usual_reader
        choices = [PolicyChoice(policy, first, max(space.threads)) for policy in policies]
        tried = {choice: self._run(predictor, choice, limit_bytes, slowdown) for choice in choices}
        for policy in best_first(tried.values(), self.objective).working[:_TOP]:
            readers = space.readers or (predictor.reader(policy, limit_bytes),)
            for reader, threads in itertools.product(readers, space.threads):
                choice = PolicyChoice(policy, reader, threads)
                if choice not in tried:
                    tried[choice] = self._run(predictor, choice, limit_bytes, slowdown)
        return tried

    def _finished(self, runs: Iterable[ChoiceRun], slowdown: Slowdown, tie_share: float) -> list[ChoiceRun]:
        """Return the runs, and those that are bounds to the end if they may be good enough.

        They are if they may meet the goal, and be better than all the others, or behind by less than `tie_share`.
        """
        found: list[ChoiceRun] = []
        for each in in_order(runs, self.objective):
            is_open = each.is_bound and self._may_count(each, [other for other in found if other.works], tie_share)
            found.append(self._run(self.predictor, each.choice, each.limit_bytes, slowdown) if is_open else each)
        return found

    def _may_count(self, bound: ChoiceRun, finished: Sequence[ChoiceRun], tie_share: float) -> bool:
        if bound.value is None or not finished:
            return bound.value is not None
        behind = {each.choice: self.objective.excess(bound.value, each.value or 0.0) for each in finished}
        own = [share for choice, share in behind.items() if choice.policy == bound.choice.policy]
        others_allow = all(share < tie_share for share in behind.values())
        return self.objective.is_met(bound.value) and others_allow and all(share < 0 for share in own)

    def _run(self, predictor: Predictor, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown) -> ChoiceRun:
        run = predictor.predict(choice, limit_bytes, slowdown)
        if run is None:
            return ChoiceRun(choice, limit_bytes, "no plan")
        return ChoiceRun.of(choice, limit_bytes, self.objective, run)
