"""The work of tasks that run, on resources that they share: its time changes as others come and go. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator

from pytest_edgeload.planning.virtual_machine import Resource, Work

Paces = Callable[[int, int, int], tuple[float, float, float]]
"""Returns the pace of work on each resource, by the number of tasks that occupy them; see `VirtualMachine.paces`."""


class RunningWork:
    """The tasks that run, each with the rest of its work; `paces` slow all work on a resource alike.

    Processor sharing, by a clock for each resource that counts the work that one task does on it: a change of pace
    changes the clock, and no task.
    """

    def __init__(self, paces: Paces) -> None:
        self._paces = paces
        self._clocks = (_Clock(), _Clock(), _Clock())  # by resource
        self._rest: dict[int, Iterator[tuple[Resource, float]]] = {}  # of each task, the parts that have not begun
        self._over: list[tuple[float, int]] = []  # a heap of the tasks that have no work left, and since when

    def __bool__(self) -> bool:
        """Return whether a task runs."""
        return bool(self._rest)

    @property
    def next_end_s(self) -> float:
        """The time at which a task or a part of its work ends next, if none starts before; infinite without a task."""
        return min(self._over[0][0] if self._over else math.inf, *(clock.next_end[0] for clock in self._clocks))

    def start(self, index: int, work: Work, now_s: float) -> None:
        """Let the task `index` begin its work."""
        self._rest[index] = iter(work)
        if not self._goes_on(index, now_s):
            heapq.heappush(self._over, (now_s, index))

    def end(self, now_s: float) -> int | None:
        """End the work that ends at `now_s`; return the task whose last part it was, None if it has more work.

        Of several tasks that end together, the first one goes first.
        """
        clock = min(self._clocks, key=lambda clock: clock.next_end)
        if self._over and self._over[0] <= clock.next_end:
            index = heapq.heappop(self._over)[1]
        else:
            index = clock.pop()
            if self._goes_on(index, now_s):
                return None
            self._repace(now_s)
        del self._rest[index]
        return index

    def _goes_on(self, index: int, now_s: float) -> bool:
        """Begin the next part of a task; return whether there is one."""
        for resource, seconds in self._rest[index]:
            if seconds > 0:
                self._clocks[resource].push(index, seconds, now_s)
                self._repace(now_s)
                return True
        return False

    def _repace(self, now_s: float) -> None:
        first, second, third = self._clocks
        for clock, pace in zip(self._clocks, self._paces(len(first), len(second), len(third)), strict=True):
            clock.change(pace, now_s)


class _Clock:
    """Counts the seconds of work that each task on a resource has done since the start."""

    def __init__(self) -> None:
        self._since_s = self._done_s = 0.0
        self._pace = 1.0
        self._ends: list[tuple[float, int]] = []  # a heap: the count at the end of a task's work, and the task

    def __len__(self) -> int:
        return len(self._ends)

    def change(self, pace: float, now_s: float) -> None:
        """Go on at another pace from now on."""
        if pace != self._pace:
            self._done_s = self._count(now_s)
            self._since_s, self._pace = now_s, pace

    def push(self, index: int, seconds: float, now_s: float) -> None:
        """Add a task with so much work."""
        heapq.heappush(self._ends, (self._count(now_s) + seconds, index))

    def pop(self) -> int:
        """Remove the task that ends next."""
        return heapq.heappop(self._ends)[1]

    def _count(self, now_s: float) -> float:
        return self._done_s + (now_s - self._since_s) * self._pace

    @property
    def next_end(self) -> tuple[float, int]:
        """The time at which the next task ends, and the task; infinite without one."""
        if not self._ends:
            return math.inf, 0
        count, index = self._ends[0]
        return self._since_s + (count - self._done_s) / self._pace, index
