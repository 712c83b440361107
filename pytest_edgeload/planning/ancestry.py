"""Which tasks of a plan wait for which others, directly or through other tasks. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pytest_edgeload.planning.plan import Kind, Task

_RANKS: dict[Kind, int] = {"load": 0, "init": 1, "free": 1, "exec": 2}
"""Of the tasks that a task waits for, its parent has the highest rank: execs are chained, and loads wait for little."""


class _Forest:
    """Tasks with one parent each, which is an earlier task, or -1.

    They are numbered in depth-first order, so that the descendants of a task have the numbers after its own.
    """

    def __init__(self, parents: Sequence[int]) -> None:
        self._sizes = [1] * len(parents)
        for index in range(len(parents) - 1, -1, -1):  # children before their parents
            if parents[index] >= 0:
                self._sizes[parents[index]] += self._sizes[index]
        self._numbers, following, roots = [0] * len(parents), [0] * len(parents), 0
        for index, parent in enumerate(parents):
            if parent < 0:
                self._numbers[index], roots = roots, roots + self._sizes[index]
            else:
                self._numbers[index] = following[parent]
                following[parent] += self._sizes[index]
            following[index] = self._numbers[index] + 1

    def descends(self, index: int, ancestor: int) -> bool:
        """Return whether `ancestor` is task `index`, or a parent of its parents."""
        return 0 <= self._numbers[index] - self._numbers[ancestor] < self._sizes[ancestor]


class Ancestry:
    """The tasks that each task of a plan waits for in its own step.

    Policies chain what must be in order, so almost all tasks that are awaited are parents of parents. These are found
    in constant time; all others by a search.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks

    @cached_property
    def _last(self) -> _Forest:
        """The tasks, of which the last one of the highest rank is the parent."""
        ranks = [_RANKS[task.kind] for task in self._tasks]
        return _Forest([max(task.after, key=lambda a: (ranks[a], a), default=-1) for task in self._tasks])

    @cached_property
    def _first(self) -> _Forest:
        """The tasks, of which the first one of the highest rank is the parent: if a request waits for two chains."""
        ranks = [_RANKS[task.kind] for task in self._tasks]
        return _Forest([max(task.after, key=lambda a: (ranks[a], -a), default=-1) for task in self._tasks])

    def _descends(self, index: int, ancestor: int) -> bool:
        return self._last.descends(index, ancestor) or self._first.descends(index, ancestor)

    def not_awaited(self, waiting: int, awaited: Sequence[int]) -> list[int]:
        """Return those of the tasks `awaited` for which task `waiting` waits neither directly nor through others."""
        left = [a for a in awaited if a == waiting or not self._descends(waiting, a)]
        to_visit, visited = [waiting], {waiting}
        while left and to_visit:
            after = self._tasks[to_visit.pop()].after
            left = [a for a in left if not any(self._descends(index, a) for index in after)]
            first = min(left, default=0)
            new = {index for index in after if index > first} - visited  # tasks before the first cannot wait for it
            visited |= new
            to_visit += new
        return left
