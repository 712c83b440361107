"""Plans without loops: what the loops of a plan mean, task by task. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from pytest_edgeload.planning.plan import Plan, StepLoop, Task


class Unrolled(NamedTuple):
    """A plan without loops, and the task of the original plan and the step that each of its tasks stands for."""

    plan: Plan
    origins: Sequence[tuple[int, int]]


def unrolled(plan: Plan, max_steps: int) -> Unrolled:
    """Return a plan without loops: each task of a loop is there once for each of at most `max_steps` steps.

    It is what the loops mean, and much longer: for checks of a few steps.
    """
    at: dict[tuple[int, int], int] = {}  # the index of each step of each task
    last_of: dict[int, int] = {}  # and of its last step
    tasks: list[Task] = []
    loop_of = plan.loop_of
    for index, step in _steps(plan, max_steps):
        task, loop = plan.tasks[index], loop_of[index]
        after = [at[a, step] if loop is not None and a in loop else last_of[a] for a in task.after]
        carried = [at[c, step - 1] for c in (*task.carried, index) if step]
        at[index, step] = last_of[index] = len(tasks)
        tasks.append(msgspec.structs.replace(task, after=tuple(dict.fromkeys((*after, *carried))), carried=()))
    return Unrolled(msgspec.structs.replace(plan, tasks=tuple(tasks), loops=()), tuple(at))


def _steps(plan: Plan, max_steps: int) -> Iterator[tuple[int, int]]:
    """Yield the tasks of `plan`, as indices, and their steps in the order in which they were created."""
    loops = {loop.first: loop for loop in plan.loops}
    index = 0
    while index < len(plan.tasks):
        loop = loops.get(index, StepLoop(index, index + 1, 1))
        yield from ((i, step) for step in range(min(loop.steps, max_steps)) for i in range(loop.first, loop.end))
        index = loop.end
