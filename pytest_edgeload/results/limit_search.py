"""The search for the smallest limits: few runs find a candidate, which must then succeed twice. Pure but for its runs.

A single run under a tight limit may succeed by chance, so the search trusts none. It remembers its runs, and a goal
uses those that an earlier goal asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from pytest_edgeload.results.minmem import Goal, Trial


class Measure(Protocol):
    """Runs the case once, under a limit in bytes or without one."""

    def __call__(self, limit_bytes: int | None, *, may_swap: bool) -> Trial:
        """Return the run."""


def smallest(low: int, guess: int, high: int, works: Callable[[int], bool]) -> int | None:
    """Return the smallest value from `low` to `high` that works, if all larger ones work too; None if none works.

    The search tries `guess` first, doubles it until a value works, and bisects the rest.
    """
    below, at = low - 1, min(max(low, guess), high)
    while not works(at):
        if at >= high:
            return None
        below, at = at, min(high, 2 * at)
    while at - below > 1:
        middle = (below + at) // 2
        below, at = (below, middle) if works(middle) else (middle, at)
    return at


def confirmed(candidate: int, high: int, is_certain: Callable[[int], bool]) -> int | None:
    """Return the first certain value of the candidate and some above it, ever further apart; None if none is certain.

    The last of them is `high`. So a program that worked by chance costs few runs.
    """
    return next(filter(is_certain, _above(candidate, high)), None)


def _above(candidate: int, high: int) -> Iterator[int]:
    yield candidate
    distance = 1
    while candidate + distance < high:
        yield candidate + distance
        distance *= 2
    if candidate < high:
        yield high


class LimitGrid(NamedTuple):
    """The limits that a search may try: multiples of `size_bytes`, from the `low`-th to the `high`-th."""

    size_bytes: int
    low: int
    high: int


class Search:
    """Runs a case under limits, and remembers all `trials` in order; `show` gets each of them.

    At each limit `rounds` runs must succeed, at the result twice as many.
    """

    def __init__(self, measure: Measure, rounds: int = 1, show: Callable[[Trial], None] = lambda _: None) -> None:
        self._measure = measure
        self._show = show
        self._rounds = rounds
        self.trials: list[Trial] = []

    def run(self, limit_bytes: int | None, *, may_swap: bool) -> Trial:
        """Run the case once and remember it."""
        trial = self._measure(limit_bytes, may_swap=may_swap)
        self.trials.append(trial)
        self._show(trial)
        return trial

    def smallest(self, goal: Goal, guess_bytes: int, steps: LimitGrid) -> int | None:
        """Return the smallest limit in bytes that meets the goal; None without one. `guess_bytes` is tried first."""

        def meets(runs: int) -> Callable[[int], bool]:
            return lambda step: self._meets(goal, step * steps.size_bytes, runs)

        guess = -(-guess_bytes // steps.size_bytes)
        candidate = smallest(steps.low, guess, steps.high, meets(self._rounds))
        certain = None if candidate is None else confirmed(candidate, steps.high, meets(2 * self._rounds))
        return None if certain is None else certain * steps.size_bytes

    def _meets(self, goal: Goal, limit_bytes: int, runs: int) -> bool:
        """Return whether all runs at the limit meet the goal; runs that lack are added until one fails."""
        known = [trial for trial in goal.trials(self.trials) if trial.limit_bytes == limit_bytes]
        while all(map(goal.is_met, known)) and len(known) < runs:
            known.append(self.run(limit_bytes, may_swap=goal.may_swap))
        return all(map(goal.is_met, known))
