"""The tasks that are ready to run, in the order in which they may start. Pure; no torch or clock."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
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

    def has_task(self, lane: int) -> bool:
        """Return whether `lane` may run a task as soon as there is enough memory for it."""
        return any(each.lane is None or each.lane == lane for each in self._classes)

    def choose(self, lane: int, free_bytes: float, rank: Rank | None) -> Choice | None:
        """Return the task that `lane` may run next, if `free_bytes` can be reserved; None if there is none."""
        own = [each for each in self._classes if each.lane is None or each.lane == lane]
        first = self._first((each for each in own if not each.reserve or each.reserve <= free_bytes), rank)
        if first is None or not first[1].reserve or self._patience is None:
            return None if first is None else Choice(first[0][-1], first[1])
        waiting = (each for each in own if each.reserve > free_bytes)
        passed = tuple(index for each in waiting for index in self._before(first[0], each, rank))
        if any(self._passed_over[index] >= self._patience for index in passed):
            first, passed = self._first((each for each in own if not each.reserve), rank), ()
        return None if first is None else Choice(first[0][-1], first[1], passed)

    def _first(self, classes: Iterable[ReadyClass], rank: Rank | None) -> tuple[_Key, ReadyClass] | None:
        """Return the key and the class of the task of these classes that goes first; None if there is none."""
        first: tuple[_Key, ReadyClass] | None = None
        for ready_class in classes:
            key = _key(self._classes[ready_class][0], rank)
            if first is None or key < first[0]:
                first = key, ready_class
        return first

    def _before(self, key: _Key, ready_class: ReadyClass, rank: Rank | None) -> Iterator[int]:
        """Yield the tasks of a class that go before the task with this key."""
        return (ready[-1] for ready in takewhile(lambda ready: _key(ready, rank) < key, self._classes[ready_class]))

    def take(self, choice: Choice) -> None:
        """Remove the chosen task."""
        tasks = self._classes[choice.ready_class]
        if choice.ready_class.reserve:
            self._passed_over.update(choice.passed)
            self._passed_over.pop(choice.task, None)
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
