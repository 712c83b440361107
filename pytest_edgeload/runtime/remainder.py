"""The part of a plan that is left to do, after some of its requests were served under another plan. Pure.

A policy plans a few past requests together with new ones, so it decides as if it had planned all of them from the
start. The tasks of past requests are done. The weights that they leave in memory are kept if they are there and at
their place; those that are not there are loaded just before their first use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pytest_edgeload.networks.tile import REQUESTED, Tile
from pytest_edgeload.planning.plan import Plan, StepLoop, Task, WeightKey

StoredTile = tuple[str, int | None, Tile]
"""A tile by the name of its network and its layer, whichever request loads it."""


class Remainder:
    """The tasks that are left of a plan whose first requests, for the networks `past`, have been served.

    `places` has the tiles in memory, and the place of each in the arena (None without one). `kept` has the loads whose
    weights are in memory.
    """

    def __init__(self, past: Sequence[str], places: Mapping[StoredTile, int | None]) -> None:
        self._past = past
        self._places = dict(places)
        self._loaded: dict[WeightKey, Task] = {}  # by past requests, as the plan says
        self._begun = False  # whether tasks of new requests have come
        self._absent: dict[WeightKey, Task] = {}
        self._again: dict[WeightKey, int] = {}  # loads of weights that were absent, by index
        self._own: dict[int, int] = {}  # indices of tasks that are left, by those in the plan
        self._seen = 0
        self.kept: dict[StoredTile, Task] = {}
        self.tasks: list[Task] = []

    def add(self, plan: Plan, end: int) -> list[StepLoop]:
        """Add the tasks of `plan` from those seen before up to `end`; return their loops."""
        loops: list[StepLoop] = []
        by_first = {loop.first: loop for loop in plan.loops}
        begin = self._seen
        self._seen = end
        index = begin
        while index < end:
            loop = by_first.get(index)
            last = index + 1 if loop is None else loop.end
            if self._add(plan.tasks, index, last) and loop is not None:
                first = self._own[index]
                loops.append(StepLoop(first, len(self.tasks), loop.steps))
            index = last
        return loops

    def _add(self, tasks: Sequence[Task], first: int, end: int) -> bool:
        """Add a task, or all tasks of a loop; return whether they are left to do."""
        if tasks[first].request < len(self._past) and (tasks[first].kind != "free" or not self._begun):
            self._skip(tasks[first:end])
            return False
        self._begin()
        for task in tasks[first:end]:
            if task.kind == "exec" and task.weights in self._absent:
                self._again[task.weights] = len(self.tasks)
                self.tasks.append(msgspec.structs.replace(self._absent.pop(task.weights), after=(), carried=()))
        for index in range(first, end):
            self._append(index, tasks[index])
        for index in range(first, end):  # a task may wait for the step before of one that was created after it
            if index in self._own and tasks[index].carried:
                own = self._own[index]
                carried = tuple(self._own[c] for c in tasks[index].carried if c in self._own)
                self.tasks[own] = msgspec.structs.replace(self.tasks[own], carried=carried)
        return first in self._own

    def _skip(self, tasks: Sequence[Task]) -> None:
        """Note the weights that tasks of past requests have loaded and freed."""
        loaded = self._absent if self._begun else self._loaded
        for task in tasks:
            if task.kind == "load":
                loaded[task.weights] = task
            elif task.kind == "free":
                loaded.pop(task.weights, None)

    def _append(self, index: int, task: Task) -> None:
        """Add a task that is left to do, unless it frees weights that are not there."""
        if task.kind == "free" and self._absent.pop(task.weights, None) is not None:
            return
        after = [self._own[awaited] for awaited in task.after if awaited in self._own]
        if task.kind == "exec" and task.weights in self._again:
            after.append(self._again[task.weights])
        self._own[index] = len(self.tasks)
        self.tasks.append(msgspec.structs.replace(task, after=tuple(after), carried=()))

    def _begin(self) -> None:
        """Divide the weights that past requests leave in memory into those that are there and those that are not."""
        if self._begun:
            return
        self._begun = True
        for key, load in self._loaded.items():
            request, layer, tile = key
            stored = (self._past[request], layer, tile)
            is_there = tile is not REQUESTED and stored in self._places and self._places[stored] == load.place
            if is_there and stored not in self.kept:
                self.kept[stored] = load
            else:
                self._absent[key] = load
        self._loaded = {}
