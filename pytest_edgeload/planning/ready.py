"""The tasks that are ready to run, in the order in which they may start. Pure; no torch or clock."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import takewhile
from typing import Any, NamedTuple

ReadyTask = tuple[tuple[float, ...], tuple[float, int], int, int, int]
"""A ready task: its priority, the time and turn in which it became ready (0 if they do not count), and its place in the
order of creation: the first task of its loop, its step, and its index."""

Rank = Callable[[int], tuple[float, float]]
"""Returns the rank of a task at the moment: of ready tasks with the same priority, the smaller rank goes first."""

_Key = tuple[Any, ...]


class ReadyClass(NamedTuple):
    """Ready tasks whose order never changes: they have the same lane (None: any) and reservation, and a common rank."""

    lane: int | None
    reserve: int
    rank: Hashable = None


class Choice(NamedTuple):
    """The task that goes next, by its index and class, and the tasks that it passes over."""

    task: int
    ready_class: ReadyClass
    passed: tuple[int, ...] = ()


class ReadyTasks:
    """The ready tasks by class, so that only the first task of each class must be looked at to choose the next one.

    A task may be passed over by `patience` others that reserve memory (None: any number), and then by none.
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._passed_over = Counter[int]()
        self._classes: dict[ReadyClass, list[ReadyTask]] = {}  # heaps; those that reserve are sorted

    def add(self, ready: ReadyTask, ready_class: ReadyClass) -> None:
        """Add a task."""
        tasks = self._classes.setdefault(ready_class, [])
        if ready_class.reserve:
            insort(tasks, ready)
        else:
            heappush(tasks, ready)

    def choose(self, lane: int, free_bytes: float, rank: Rank | None) -> Choice | None:
        """Return the task that `lane` may run next, if `free_bytes` can be reserved; None if there is none."""
        own = [
            (_key(tasks[0], rank), ready_class)
            for ready_class, tasks in self._classes.items()
            if ready_class.lane is None or ready_class.lane == lane
        ]
        fitting = [each for each in own if not each[1].reserve or each[1].reserve <= free_bytes]
        if not fitting:
            return None
        key, ready_class = min(fitting)
        passed: tuple[int, ...] = ()
        if ready_class.reserve and self._patience is not None:
            waiting = (each for _, each in own if each.reserve > free_bytes)
            passed = tuple(index for each in waiting for index in self._before(key, each, rank))
            if any(self._passed_over[index] >= self._patience for index in passed):
                free = [each for each in own if not each[1].reserve]
                return Choice(min(free)[0][-1], min(free)[1]) if free else None
        return Choice(key[-1], ready_class, passed)

    def _before(self, key: _Key, ready_class: ReadyClass, rank: Rank | None) -> Iterator[int]:
        """Yield the tasks of a class that go before the task with this key."""
        return (ready[-1] for ready in takewhile(lambda ready: _key(ready, rank) < key, self._classes[ready_class]))

    def take(self, choice: Choice) -> None:
        """Remove the chosen task."""
        self._passed_over.update(choice.passed)
        self._passed_over.pop(choice.task, None)
        tasks = self._classes[choice.ready_class]
        if choice.ready_class.reserve:
            del tasks[0]
        else:
            heappop(tasks)
        if not tasks:
            del self._classes[choice.ready_class]

    def remove_if(self, is_void: Callable[[int], bool]) -> list[int]:
        """Remove the tasks for which `is_void` holds; return them in order."""
        removed: list[ReadyTask] = []
        for ready_class, tasks in [*self._classes.items()]:
            void = {ready[-1] for ready in tasks if is_void(ready[-1])}
            if void:
                removed += (ready for ready in tasks if ready[-1] in void)
                tasks[:] = [ready for ready in tasks if ready[-1] not in void]
                heapify(tasks)  # leaves a sorted list as it is
                if not tasks:
                    del self._classes[ready_class]
        for ready in removed:
            self._passed_over.pop(ready[-1], None)
        return [ready[-1] for ready in sorted(removed)]


def _key(ready: ReadyTask, rank: Rank | None) -> _Key:
    """Return the place of a task among all that are ready."""
    return ready if rank is None else (ready[0], rank(ready[-1]), *ready[2:])
