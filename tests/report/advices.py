"""Advice made by hand: two policies under three limits, of which the smallest suffices for none."""

from __future__ import annotations

from pytest_edgeload.results.advice import SLOWEST, Advice, ChoiceRun, Objective, PolicyChoice, best_first

M = 1 << 20
GOAL = Objective(SLOWEST, 0.5)


def prediction(policy: str, value: float | None, megabytes: int) -> ChoiceRun:
    """Return a prediction, which fails without a value."""
    choice = PolicyChoice(policy, "direct", 2)
    return ChoiceRun(choice, megabytes * M, "oom" if value is None else "ok", value, 90 * M)


LIMITS = tuple(
    best_first([prediction("stream", stream, limit), prediction("bulk", bulk, limit)], GOAL)
    for limit, stream, bulk in ((100, None, None), (200, 0.4, None), (400, 0.21, 0.2))
)
ADVICE = Advice(
    workload="both",
    networks=("small", "large"),
    device="rpi3",
    objective=GOAL,
    idle_bytes=50 * M,
    is_calibrated=True,
    faults=(),
    limits=LIMITS,
    recommended=LIMITS[1].best,
    tied=("lru", "mema", "masa", "pin"),
)
