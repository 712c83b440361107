"""Which tasks of a plan wait for which others, directly or through other tasks. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.planning.plan import Task


class Ancestry:
    """The tasks that each task of a plan waits for in its own step.

    One of the tasks in `after` is the parent of a task: of those that are not loads, the last. Policies chain what must
    be in order, so that almost all tasks that are awaited are parents of parents. These are found in constant time: the
    tree is numbered in depth-first order, so that the descendants of a task have the numbers after its own.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        parents = [self._parent(task) for task in tasks]
        self._sizes = [1] * len(tasks)
        for index in range(len(tasks) - 1, -1, -1):  # children before their parents
            if parents[index] >= 0:
                self._sizes[parents[index]] += self._sizes[index]
        self._numbers, following, roots = [0] * len(tasks), [0] * len(tasks), 0
        for index, parent in enumerate(parents):
            if parent < 0:
                self._numbers[index], roots = roots, roots + self._sizes[index]
            else:
                self._numbers[index] = following[parent]
                following[parent] += self._sizes[index]
            following[index] = self._numbers[index] + 1

    def _parent(self, task: Task) -> int:
        """Return the parent of a task, -1 if it waits for none."""
        chained = [index for index in task.after if self._tasks[index].kind != "load"]
        return max(chained or task.after, default=-1)

    def _descends(self, index: int, ancestor: int) -> bool:
        """Return whether `ancestor` is task `index`, or a parent of its parents."""
        return 0 <= self._numbers[index] - self._numbers[ancestor] < self._sizes[ancestor]

    def not_awaited(self, waiting: int, awaited: Sequence[int]) -> list[int]:
        """Return those of the tasks `awaited` for which task `waiting` waits neither directly nor through others."""
        left = [a for a in awaited if not self._descends(waiting, a) or a == waiting]
        to_visit, visited = [waiting], {waiting}
        while left and to_visit:
            after = self._tasks[to_visit.pop()].after
            left = [a for a in left if not any(self._descends(index, a) for index in after)]
            first = min(left, default=0)
            new = {index for index in after if index > first} - visited  # tasks before the first cannot wait for it
            visited |= new
            to_visit += new
        return left
