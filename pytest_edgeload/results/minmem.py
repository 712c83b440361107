"""The smallest limits of a case: the runs that were tried, the goals they had to meet, and the limits found. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.threshold import Threshold

SWAPPED_BYTES = 1 << 20
"""A run that writes less than this to swap does not lack memory: the kernel's own housekeeping writes as much."""

WORKS, KEEPS_IN_MEMORY = "works", "keeps_in_memory"
"""The names of the two goals that every search has; the name of any other goal is its margin, `makespan:10%`."""


class Trial(msgspec.Struct, frozen=True):
    """One run under a limit, or without one; `values` has the figures that the search looks at, by their text.

    `outcome` may also be `no plan`, if the policy finds none for so little memory. `charged_bytes` and `anon_bytes` are
    the peaks of all memory charged to the run, and of its anonymous memory. `took_s` is its time from start to end.
    """

    limit_bytes: int | None
    may_swap: bool
    outcome: str
    swap_out_bytes: int | None = None
    detail: str = ""
    values: dict[str, float] = {}
    charged_bytes: int | None = None
    anon_bytes: int | None = None
    took_s: float = 0.0

    @property
    def works(self) -> bool:
        """Whether the outcome is ok."""
        return self.outcome == "ok"

    @property
    def keeps_in_memory(self) -> bool:
        """Whether the outcome is ok without swapping."""
        return self.works and (self.swap_out_bytes or 0) < SWAPPED_BYTES


class Margin(msgspec.Struct, frozen=True):
    """The value of a figure with plenty of memory, and the worst value that a run may have.

    Under limits from `ample_bytes` on, any value is within the margin: the memory charged with plenty fits, so a worse
    value is noise. It is None if the limit changes a run in other ways as well, as it does if a policy plans with it.
    """

    figure: str
    plenty: float
    worst: float
    is_higher_better: bool
    ample_bytes: int | None = None

    @classmethod
    def of(
        cls, threshold: Threshold, values: Sequence[float], *, is_higher_better: bool, ample_bytes: int | None = None
    ) -> Margin:
        """Return the margin that `threshold` leaves below, or above, the median of the values with plenty of memory.

        The worst of these values is within it, because a run that is as good does not lack memory.
        """
        plenty = statistics.median(values)
        allowed = float(threshold.allowed(plenty))
        worst = min(plenty - allowed, *values) if is_higher_better else max(plenty + allowed, *values)
        return cls(str(threshold.figure), plenty, worst, is_higher_better, ample_bytes)

    def contains(self, trial: Trial) -> bool:
        """Return whether the value of a run is no worse than the worst one; a run without the figure is outside."""
        value = trial.values.get(self.figure)
        if value is None:
            return False
        if self.ample_bytes is not None and (trial.limit_bytes or 0) >= self.ample_bytes:
            return True
        return value >= self.worst if self.is_higher_better else value <= self.worst


class Goal(msgspec.Struct, frozen=True):
    """A demand on every run at a limit: the outcome ok, and optionally no swapping, or a figure within a margin."""

    may_swap: bool
    keeps_in_memory: bool = False
    margin: Margin | None = None

    def is_met(self, trial: Trial) -> bool:
        """Return whether a run meets the goal."""
        if self.margin is not None:
            return trial.works and self.margin.contains(trial)
        return trial.keeps_in_memory if self.keeps_in_memory else trial.works

    def trials(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the runs under a limit that count for the goal."""
        return [trial for trial in trials if trial.may_swap == self.may_swap and trial.limit_bytes is not None]


class CurvePoint(msgspec.Struct, frozen=True):
    """A point of the curve: the median of a figure over the runs at a limit; None if a run was not ok.

    The runs with plenty of memory are at a step above the memory that they were charged for, and above all limits.
    """

    limit_bytes: int
    value: float | None
    swap_out_bytes: int | None = None
    outcome: str = "ok"
    is_plenty: bool = False


class Smallest(msgspec.Struct, frozen=True):
    """The smallest limits of one case, by the name of their goal; None if there is none up to all memory.

    `case` is that of the runs without a limit. A goal without an entry in `found` was not searched to the end. `trials`
    are all runs in order, and `figures` the metrics of their values. `by` is the figure of the curve, and `curve` its
    points, the largest limit first; both are empty without a curve. `idle_bytes` is the need of the idle worker of a
    network, None for a program.
    """

    case: Case
    step_bytes: int
    goals: dict[str, Goal]
    found: dict[str, int | None]
    trials: tuple[Trial, ...]
    figures: dict[str, Metric] = {}
    idle_bytes: int | None = None
    by: str = ""
    curve: tuple[CurvePoint, ...] = ()

    def at(self, limit_bytes: int, goal: Goal) -> list[Trial]:
        """Return the runs under this limit that count for the goal."""
        return [trial for trial in goal.trials(self.trials) if trial.limit_bytes == limit_bytes]

    def nearest_failure(self, goal: Goal, below_bytes: int) -> Trial | None:
        """Return the failure at the largest limit below this one; None without one."""
        failures = [
            trial for trial in goal.trials(self.trials) if _limit(trial) < below_bytes and not goal.is_met(trial)
        ]
        return max(failures, key=_limit, default=None)

    def contradicting(self, goal: Goal, smallest_bytes: int) -> list[int]:
        """Return the limits with runs that contradict a smallest limit: failures above it and successes below it."""
        limits = {
            _limit(trial)
            for trial in goal.trials(self.trials)
            if trial.limit_bytes != smallest_bytes and goal.is_met(trial) != (_limit(trial) > smallest_bytes)
        }
        return sorted(limits)


def known_to_work(goal: Goal, trials: Sequence[Trial]) -> int | None:
    """Return the smallest limit at which every run met the goal; None if there is none yet."""
    counting = goal.trials(trials)
    failing = {trial.limit_bytes for trial in counting if not goal.is_met(trial)}
    return min((_limit(trial) for trial in counting if trial.limit_bytes not in failing), default=None)


def known_to_fail(goal: Goal, trials: Sequence[Trial]) -> int | None:
    """Return the largest limit at which a run did not meet the goal; None if there is none yet."""
    return max((_limit(trial) for trial in goal.trials(trials) if not goal.is_met(trial)), default=None)


def _limit(trial: Trial) -> int:
    assert trial.limit_bytes is not None  # the goal's own runs have one
    return trial.limit_bytes
