"""Checks of loops, and of places in the arena from step to step. Pure functions; no torch, file or clock.

All steps of a loop are alike, and a task waits at most for the step before its own. So what holds between the first two
steps holds between any two that follow each other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from pytest_edgeload.networks.tile import PAGE, span_bytes
from pytest_edgeload.planning.ancestry import Ancestry
from pytest_edgeload.planning.plan import InvalidPlan, Plan, Task, WeightKey, needs_of_steps
from pytest_edgeload.planning.unrolled import Unrolled, unrolled
from pytest_edgeload.planning.words import describe, task_words
from pytest_edgeload.workload import Workload


def check_loops(plan: Plan) -> None:
    """Raise InvalidPlan unless the loops are in order, share no task, and tasks carry over within their loop."""
    for loop in plan.loops:
        if not 0 <= loop.first < loop.end <= len(plan.tasks) or loop.steps < 1:
            raise InvalidPlan(f"the loop of tasks {loop.first} to {loop.end}", f"of {loop.steps} steps, does not exist")
    for before, after in pairwise(plan.loops):
        if after.first < before.end:
            reason = f"shares tasks with the loop before it, which ends at {before.end}"
            raise InvalidPlan(f"the loop of tasks {after.first} to {after.end}", reason)
    for i, (task, own) in enumerate(zip(plan.tasks, plan.loop_of, strict=True)):
        for carried in task.carried:
            if own is None or carried not in own or carried == i:
                reason = f"waits for the step of task {carried} before its own"
                raise InvalidPlan(describe(i, task), reason, "let it wait for other tasks of its loop")


def check_steps(plan: Plan, ancestry: Ancestry, workload: Workload) -> None:
    """Raise InvalidPlan unless each request has its steps, each step waits for the one before, and places are free.

    `ancestry` is that of the plan's tasks.
    """
    if not plan.loops and all(request.steps == 1 for request in workload.requests):
        _check_places(Unrolled(plan, [(i, 0) for i in range(len(plan.tasks))]), ancestry, workload)
        return
    _check_counts(plan, workload)
    flat = unrolled(plan, 2)
    ancestry, at = Ancestry(flat.plan.tasks), {origin: index for index, origin in enumerate(flat.origins)}
    for loop in (loop for loop in plan.loops if loop.steps > 1):
        for i, needed in needs_of_steps(plan.tasks, loop.first, loop.end):
            if ancestry.not_awaited(at[i, 1], [at[needed, 0]]):
                reason = f"does not wait for the {plan.tasks[needed].kind} of {task_words(plan.tasks[needed])}, step 0"
                raise InvalidPlan(describe(i, plan.tasks[i], 1), reason, f"add task {needed} to its `carried`")
    _check_places(flat, ancestry, workload)


def _check_counts(plan: Plan, workload: Workload) -> None:
    """Raise InvalidPlan unless execs run as often as their requests have steps, and weights stay within a loop."""
    loops = plan.loop_of
    frees = {task.weights: i for i, task in enumerate(plan.tasks) if task.kind == "free"}
    loads = {task.weights: i for i, task in enumerate(plan.tasks) if task.kind == "load"}
    for i, (task, loop) in enumerate(zip(plan.tasks, loops, strict=True)):
        steps = 1 if loop is None else loop.steps
        if task.kind == "init" and loop is not None:
            raise InvalidPlan(describe(i, task), "is in a loop", "let a request read its input once, before the loop")
        if task.kind == "exec" and steps < workload.requests[task.request].steps:
            expected = workload.requests[task.request].steps
            reason = f"runs {steps} times, but its request has {expected} steps"
            raise InvalidPlan(describe(i, task), reason, "add its tasks in `with plan.loop(request.steps):`")
        if task.kind == "load" and loops[frees[task.weights]] != loop:
            raise InvalidPlan(describe(i, task), "is not in the loop of its free", "load and free in the same loop")
        if task.kind == "exec" and loops[loads[task.weights]] not in {None, loop}:
            raise InvalidPlan(describe(i, task), "is not in the loop of its load", "execute it there, or load before")


def _check_places(flat: Unrolled, ancestry: Ancestry, workload: Workload) -> None:
    """Raise InvalidPlan unless each load's place is inside the arena, and free when the load begins."""
    plan, frees = flat.plan, _frees(flat.plan.tasks)
    occupied: list[tuple[int, int, int]] = []  # first byte, end, and the load; sorted, and none overlaps another
    for i, task in enumerate(plan.tasks):
        if task.place is None or task.layer is None:
            continue
        origin, _ = flat.origins[i]
        end = task.place + span_bytes(workload.requests[task.request].network.layers[task.layer], task.tile)
        if task.place < 0 or end > plan.arena_bytes or task.place % PAGE:
            raise InvalidPlan(
                describe(origin, task),
                f"has its place at bytes {task.place} to {end} of an arena of {plan.arena_bytes} bytes",
                f"choose a place inside the arena that begins at a multiple of {PAGE}",
            )
        begin = bisect_left(occupied, task.place, key=lambda place: place[1] - 1)  # the first that ends behind it
        rests: list[tuple[int, int, int]] = []
        stop = begin
        while stop < len(occupied) and occupied[stop][0] < end:
            first, last, load = occupied[stop]
            if ancestry.not_awaited(i, [frees[load]]):
                free, _ = flat.origins[frees[load]]
                reason = f"does not wait until {task_words(plan.tasks[load])} is freed from its place"
                raise InvalidPlan(describe(origin, task), reason, f"add task {free} to its `after`")
            # Later loads must still wait for the rest of an earlier one, to the left and right of the new place.
            rests += ((first, min(last, task.place), load), (max(first, end), last, load))
            stop += 1
        occupied[begin:stop] = sorted([*(rest for rest in rests if rest[0] < rest[1]), (task.place, end, i)])


def _frees(tasks: Sequence[Task]) -> dict[int, int]:
    """Return the free of each load in a plan without loops."""
    loads: dict[WeightKey, int] = {}
    frees: dict[int, int] = {}
    for i, task in enumerate(tasks):
        if task.kind == "load":
            loads[task.weights] = i
        elif task.kind == "free":
            frees[loads[task.weights]] = i
    return frees
