"""Which ready task a lane runs next. Is told what ended; has no clock, no thread, no torch."""

from __future__ import annotations

import heapq

from pytest_edgeload.plan import Plan


class Dispatcher:
    """The state of a plan that is being carried out: what waits, what is ready, what has ended."""

    def __init__(self, plan: Plan) -> None:
        self._order = plan.order
        self._dependents: list[list[int]] = [[] for _ in plan.tasks]
        self._waiting = [len(task.after) for task in plan.tasks]
        self._ready: list[tuple[int, int]] = []
        self._turn = 0
        self._left = len(plan.tasks)
        for index, task in enumerate(plan.tasks):
            for awaited in task.after:
                self._dependents[awaited].append(index)
            if not task.after:
                self._push(index)

    @property
    def finished(self) -> bool:
        """Whether every task has ended."""
        return self._left == 0

    def take(self) -> int | None:
        """Return the index of the task to run now, None where none is ready; it is not offered again."""
        return heapq.heappop(self._ready)[1] if self._ready else None

    def end(self, index: int) -> list[int]:
        """Note that task `index` has ended; return the tasks that became ready by it."""
        self._left -= 1
        self._turn += 1
        ready = []
        for dependent in self._dependents[index]:
            self._waiting[dependent] -= 1
            if self._waiting[dependent] == 0:
                self._push(dependent)
                ready.append(dependent)
        return ready

    def _push(self, index: int) -> None:
        heapq.heappush(self._ready, (self._turn if self._order == "ready" else 0, index))
