"""Plans that may go on, and the plans of patterns of requests that came before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import msgspec

from pytest_edgeload.planning.plan import Plan, Task

MAX_TASKS, MAX_PATTERNS = 10_000, 200
"""The tasks of all known plans, of 200 bytes each, and the patterns. The margin of a budget has room for them."""


class OpenPlan(NamedTuple):
    """A plan that may go on; its tasks up to `end` are those of the requests that are known."""

    plan: Plan
    end: int

    def continues(self, before: OpenPlan) -> bool:
        """Return whether this plan begins with all tasks of `before`, and is carried out in the same way."""
        return (
            self.end >= before.end
            and self.plan.tasks[: before.end] == before.plan.tasks[: before.end]
            and _frame(self.plan, before.end) == _frame(before.plan, before.end)
        )


def _frame(plan: Plan, end: int) -> Plan:
    """Return a plan without tasks, times of requests, and loops from `end` on."""
    loops = tuple(loop for loop in plan.loops if loop.first < end)
    return msgspec.structs.replace(plan, tasks=(), service_s=(), deadlines_s=(), loops=loops)


class KnownPlans:
    """Plans, and their peaks, by the patterns of their requests; a pattern is None if its plan is not to be kept.

    Most programs ask in few patterns, and planning takes as long as a tenth of a small request. Plans of similar
    patterns share their equal tasks. All plans are forgotten before they have too many; those in use come again.
    """

    def __init__(self) -> None:
        self._plans: dict[Hashable, OpenPlan] = {}
        self._peaks: dict[Hashable, int] = {}
        self._tasks: dict[Task, Task] = {}

    def plan(self, pattern: Hashable | None, make: Callable[[], OpenPlan]) -> OpenPlan:
        """Return the plan of a pattern, which `make` returns the first time."""
        found = self._plans.get(pattern)
        if found is None:
            found = make()
            if pattern is not None:
                found = self._plans[pattern] = self._shared(found)
        return found

    def peak_bytes(self, pattern: Hashable | None, find: Callable[[], int]) -> int:
        """Return the peak of the plan of a pattern, which `find` returns the first time."""
        peak_bytes = self._peaks.get(pattern)
        if peak_bytes is None:
            peak_bytes = find()
            if pattern is not None:
                self._peaks[pattern] = peak_bytes
        return peak_bytes

    def _shared(self, found: OpenPlan) -> OpenPlan:
        """Return a plan that has equal tasks of other plans instead of its own."""
        if len(self._tasks) + len(found.plan.tasks) > MAX_TASKS or len(self._peaks) + len(self._plans) > MAX_PATTERNS:
            self._plans.clear()
            self._peaks.clear()
            self._tasks.clear()
        tasks = tuple(self._tasks.setdefault(task, task) for task in found.plan.tasks)
        return found._replace(plan=msgspec.structs.replace(found.plan, tasks=tasks))
