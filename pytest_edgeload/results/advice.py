"""Advice from a table of predictions: the best choice under each memory limit, the limit to use, its ties. Pure.

The structs are also the JSON of the advice.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from pytest_edgeload.results.measurement import METRICS, Measurement
from pytest_edgeload.results.metric import Metric

SLOWEST = "response_s"
"""The metric of an objective on the response time: its longest one counts."""

TIE_SHARE = 0.05
"""Two choices are tied if their figures differ by at most this share of the better one."""

KNEE_SHARE = 0.1
"""Without a goal, the limit to use is the smallest whose figure is worse by at most this than with more memory."""

Circumstance = Literal["less memory", "more memory", "slower reads", "slower processor"]


class Objective(msgspec.Struct, frozen=True, omit_defaults=True):
    """The metric by which choices are compared, and the worst value that a goal allows; None without a goal."""

    metric: str
    worst: float | None = None

    @property
    def kind(self) -> Metric:
        """The unit and the direction of the metric."""
        return METRICS[self.metric]

    def value(self, run: Measurement) -> float | None:
        """Return the value of a run, of which the slowest response counts; None if it was not answered."""
        value = run.value(self.metric)
        if isinstance(value, tuple):
            return max((each for each in value if each is not None), default=None)
        return None if value is None else float(value)

    def is_met(self, value: float) -> bool:
        """Return whether a value meets the goal; any does without one."""
        return self.worst is None or self.excess(value, self.worst) <= 0

    def excess(self, value: float, other: float) -> float:
        """Return how much worse a value is than another one, negative if it is better.

        It is a share of the other value, but the plain difference of two shares.
        """
        worse = other - value if self.kind.better == "higher" else value - other
        return worse / abs(other) if other and self.kind.unit != "ratio" else worse


class PolicyChoice(msgspec.Struct, frozen=True):
    """A policy, a reader, and the threads of an operator."""

    policy: str
    reader: str
    threads: int


class ChoiceRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """The predicted run of a choice under a limit, or a measured one.

    `value` is that of the objective, None unless the `outcome` is ok. `no plan` is the outcome if the policy has none
    for so little memory. `peak_bytes` is the peak of all memory of the worker, and `swap_out_bytes` what it swaps. With
    `is_bound`, only the first requests were predicted, and the peak is theirs: no value of the whole workload is better
    than `value`, and that is not good enough.
    """

    choice: PolicyChoice
    limit_bytes: int
    outcome: str
    value: float | None = None
    peak_bytes: int | None = None
    swap_out_bytes: int | None = None
    is_bound: bool = False

    @property
    def works(self) -> bool:
        """Whether the choice is known to work: all requests were predicted, and answered."""
        return self.value is not None and not self.is_bound

    @classmethod
    def of(cls, choice: PolicyChoice, limit_bytes: int, objective: Objective, run: Measurement) -> ChoiceRun:
        """Return the prediction that a run is."""
        value = objective.value(run) if run.outcome == "ok" else None
        return cls(choice, limit_bytes, run.outcome, value, run.peak_bytes, run.swap_out_bytes)


class LimitAdvice(msgspec.Struct, frozen=True):
    """The predictions under a limit, the best first, one for each policy; those that do not work are last."""

    limit_bytes: int
    predictions: tuple[ChoiceRun, ...]
    tied: tuple[str, ...] = ()

    @property
    def best(self) -> ChoiceRun | None:
        """The best prediction; None if nothing works."""
        first = self.predictions[0] if self.predictions else None
        return first if first is not None and first.works else None

    @property
    def nearest(self) -> ChoiceRun | None:
        """The best finished prediction, or if none was finished the best bound; None if nothing works."""
        first = self.predictions[0] if self.predictions else None
        return None if first is None or first.value is None else first

    def meets(self, objective: Objective) -> bool:
        """Return whether the best choice works, and meets the goal of an objective."""
        return self.best is not None and self.best.value is not None and objective.is_met(self.best.value)

    @property
    def working(self) -> tuple[str, ...]:
        """The policies that work under the limit."""
        return tuple(each.choice.policy for each in self.predictions if each.works)


class AdviceChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another choice that is better in other circumstances.

    `at` is the limit in bytes, the nearest one that makes the choice better; otherwise the speed of reads
    in bytes per second, or the share of the processor's speed. `gain` is how much better it is than the recommended
    policy then, None if that does not work there.
    """

    circumstance: Circumstance
    at: float
    choice: PolicyChoice
    gain: float | None = None


class Confirmation(msgspec.Struct, frozen=True):
    """A prediction and the measured run of the same choice under the same limit."""

    predicted: ChoiceRun
    measured: ChoiceRun

    @property
    def error(self) -> float | None:
        """The difference of the predicted value as a share of the measured one; None if one of them has no value."""
        if self.predicted.value is None or not self.measured.value:
            return None
        return abs(self.predicted.value / self.measured.value - 1)


class Certainty(msgspec.Struct, frozen=True):
    """The errors of the predictions that were confirmed on this machine: their median and the largest."""

    confirmed: int
    median_error: float
    max_error: float


class Advice(msgspec.Struct, frozen=True):
    """The advice for a workload: the limits from small to large, the one to use, and what would change it.

    `recommended` is None if nothing works, or meets the goal. `is_calibrated`: the speeds of this machine were
    measured, and `faults` says why they may be others now. `certainty` is None if nothing was ever confirmed on this
    machine.
    """

    workload: str
    networks: tuple[str, ...]
    device: str | None
    objective: Objective
    idle_bytes: int
    is_calibrated: bool
    faults: tuple[str, ...]
    limits: tuple[LimitAdvice, ...]
    recommended: ChoiceRun | None = None
    tied: tuple[str, ...] = ()
    changes: tuple[AdviceChange, ...] = ()
    certainty: Certainty | None = None
    confirmations: tuple[Confirmation, ...] = ()


def best_first(predictions: Iterable[ChoiceRun], objective: Objective) -> LimitAdvice:
    """Return the advice for a limit, given all predictions for it: the best reader and threads of each policy.

    Of equal values, the one with the lowest peak is the best. Raises ValueError without a prediction.
    """
    ordered = in_order(predictions, objective)
    policies = dict.fromkeys(each.choice.policy for each in ordered)
    own = tuple(next(each for each in ordered if each.choice.policy == policy) for policy in policies)
    return LimitAdvice(min(each.limit_bytes for each in own), own, _tied(own, objective))


def in_order(runs: Iterable[ChoiceRun], objective: Objective) -> list[ChoiceRun]:
    """Return the runs, the best first; runs that do not work are last, after bounds."""

    def place(each: ChoiceRun) -> tuple[bool, bool, float, int]:
        value = each.value or 0.0
        better = -value if objective.kind.better == "higher" else value
        return each.value is None, each.is_bound, better, each.peak_bytes or 0

    return sorted(runs, key=place)


def bound_of_all(first: ChoiceRun, count: int, total: int) -> ChoiceRun:
    """Return the largest share in time of all requests, given the run of the first `count` of them.

    It has all the later ones in time. A choice that fails at the beginning fails.
    """
    if first.value is None:
        return first
    value = 1 - (1 - first.value) * count / total
    return msgspec.structs.replace(first, value=value, is_bound=True)


def _tied(own: Sequence[ChoiceRun], objective: Objective) -> tuple[str, ...]:
    """Return the policies whose values are close to that of the first run."""
    best, others = own[0].value, [each for each in own[1:] if each.works]
    if best is None:
        return ()
    return tuple(each.choice.policy for each in others if objective.excess(each.value or 0.0, best) <= TIE_SHARE)


def recommended(limits: Sequence[LimitAdvice], objective: Objective) -> LimitAdvice | None:
    """Return the advice for the smallest limit that meets the goal; without a goal, for the knee of the curve.

    The knee is the smallest limit whose figure is almost as good as with any of the limits. None if nothing works.
    """
    working = [(each, each.best.value) for each in limits if each.best is not None and each.best.value is not None]
    if not working:
        return None
    values = [value for _, value in working]
    top = max(values) if objective.kind.better == "higher" else min(values)

    def is_enough(value: float) -> bool:
        return objective.is_met(value) if objective.worst is not None else objective.excess(value, top) <= KNEE_SHARE

    enough = [each for each, value in working if is_enough(value)]
    return min(enough, key=lambda each: each.limit_bytes, default=None)


def change_to(
    circumstance: Circumstance, at: float, policy: str, others: LimitAdvice, objective: Objective
) -> AdviceChange | None:
    """Return the change from a policy to the best choice of `others`; None unless that is clearly better.

    With a goal, it also meets that. All requests of the policy must have been predicted.
    """
    best = others.best
    if best is None or best.value is None or not others.meets(objective):
        return None
    own = next((each.value for each in others.predictions if each.choice.policy == policy), None)
    gain = None if own is None else objective.excess(own, best.value)
    return None if gain is not None and gain <= TIE_SHARE else AdviceChange(circumstance, at, best.choice, gain)


def certainty(errors: Sequence[float]) -> Certainty | None:
    """Return the errors of confirmed predictions; None without one."""
    return Certainty(len(errors), statistics.median(errors), max(errors)) if errors else None


def ladder(low_bytes: int, high_bytes: int, base_bytes: int, count: int) -> list[int]:
    """Return about `count` limits from the lowest to the highest, in round sizes.

    Their distances from `base_bytes`, the memory of an idle worker, grow by the same factor. All are rounded up, so
    that the lowest limit is enough.
    """
    low, high = low_bytes - base_bytes, max(low_bytes, high_bytes) - base_bytes
    rooms = [round(low * (high / low) ** (i / (count - 1))) for i in range(count)]
    return sorted({rounded(base_bytes + room, room) for room in rooms})


def rounded(limit_bytes: int, room_bytes: int) -> int:
    """Return the next size that is a multiple of at least 1 MiB and at most 1/8 of the room for weights."""
    step = max(1 << 20, 1 << max(0, (room_bytes // 8).bit_length() - 1))
    return -(-limit_bytes // step) * step
