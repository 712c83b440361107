"""The search for the smallest limit: its trials, its algorithm and its result. Pure.

The search runs few trials and confirms its result, because a single run under a tight limit may succeed by chance.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

SWAPPED_BYTES = 1 << 20
"""A run that writes less than this to swap does not lack memory: the kernel's own housekeeping writes as much."""

_CONFIRMATIONS = 2  # runs in a row that must work under the smallest limit


class Trial(msgspec.Struct, frozen=True):
    """One run under a limit; `outcome` may also be `no plan`, if the policy finds none for so little memory."""

    limit_bytes: int
    may_swap: bool
    outcome: str
    swap_out_bytes: int | None = None
    detail: str = ""

    @property
    def works(self) -> bool:
        """Whether the outcome is ok."""
        return self.outcome == "ok"

    @property
    def keeps_in_memory(self) -> bool:
        """Whether the outcome is ok without swapping."""
        return self.works and (self.swap_out_bytes or 0) < SWAPPED_BYTES

    @property
    def is_success(self) -> bool:
        """Whether it met its goal: without swap, to work; with swap, to need none."""
        return self.keeps_in_memory if self.may_swap else self.works


class Smallest(msgspec.Struct, frozen=True):
    """The smallest limits of one case: under `works_bytes` it works without swap; under the other it needs no swap.

    A limit is None if there is none up to all memory, or no swap to test it with. `trials` are all runs in order.
    """

    workload: str
    policy: str
    reader: str
    threads: int
    cap: str
    swap: str
    idle_bytes: int
    step_bytes: int
    works_bytes: int | None
    keeps_in_memory_bytes: int | None
    trials: tuple[Trial, ...]

    def at(self, limit_bytes: int, *, may_swap: bool) -> list[Trial]:
        """Return the runs under this limit."""
        return [trial for trial in self.trials if (trial.limit_bytes, trial.may_swap) == (limit_bytes, may_swap)]

    def contradicting(self, smallest_bytes: int, *, may_swap: bool) -> list[Trial]:
        """Return the runs that contradict a smallest limit: failures above it and successes below it."""
        return [
            trial
            for trial in self.trials
            if trial.may_swap == may_swap
            and trial.limit_bytes != smallest_bytes
            and trial.is_success != (trial.limit_bytes > smallest_bytes)
        ]


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


def confirmed(candidate: int, high: int, works: Callable[[int], bool]) -> int | None:
    """Return the smallest value >= `candidate` that works twice in a row; None if there is none up to `high`.

    The candidate itself has worked once already.
    """
    seen = 1
    for value in range(candidate, high + 1):
        if all(works(value) for _ in range(_CONFIRMATIONS - seen)):
            return value
        seen = 0
    return None
