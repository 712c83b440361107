"""What a plan must hold for an engine to carry it out. Pure functions; no torch, file or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE, Rows, is_asked, span_bytes, tiling
from pytest_edgeload.planning.plan import InvalidPlan, Kind, Plan, Task, Weights
from pytest_edgeload.workload import Workload

_Name = tuple[Kind, int, int | None, Rows]
_Tiles = Mapping[tuple[int, int], Sequence[Rows]]


def check_plan(plan: Plan, workload: Workload) -> None:
    """Raise InvalidPlan unless every request is answered exactly once, each task after what it needs.

    Each load comes after its request's init, each exec after its load and the exec before it; the tiles of a layer make
    up all of it, and are executed in order; what is loaded is used, and freed once, after its last use; nothing is
    brought to a place where something else still is; a request with a condition waits as the workload says; no task
    waits for itself or a later one, so there is no cycle; and each may run on some lane. Whether reservations always
    find memory it cannot tell: the simulation and the worker notice a plan that stops.
    """
    for i, task in enumerate(plan.tasks):
        _check_task(i, task, plan.lanes)
        _check_source(i, task, workload)
    tiles = _check_shape(plan, workload)
    index = {_name(task): i for i, task in enumerate(plan.tasks)}
    users: dict[Weights, list[int]] = {}
    for i, task in enumerate(plan.tasks):
        if task.kind == "exec":
            users.setdefault(task.weights, []).append(i)
    for i, task in enumerate(plan.tasks):
        needs = users[task.weights] if task.kind == "free" else [index[n] for n in _needs(task, workload, tiles)]
        for awaited in _not_awaited(plan.tasks, i, needs):
            needed = plan.tasks[awaited]
            raise InvalidPlan(f"{describe(i, task)} does not wait for the {needed.kind} of {_where(needed)}")
    _check_places(plan, workload, index)


def _name(task: Task) -> _Name:
    """Return what tells a task from all others of its plan."""
    return (task.kind, *task.weights) if task.kind == "free" else (task.kind, task.request, task.layer, task.rows)


def _check_shape(plan: Plan, workload: Workload) -> _Tiles:
    """Raise InvalidPlan unless the tasks are exactly those the workload needs; return the tiles of what is executed."""
    if plan.lanes < 1:
        raise InvalidPlan(f"a plan needs at least one lane, not {plan.lanes}")
    if plan.order == "response-ratio" and len(plan.service_s) != len(workload.requests):
        raise InvalidPlan(
            f"the order response-ratio needs service_s for {len(workload.requests)} requests, not {len(plan.service_s)}"
        )
    tiles = _executed_tiles(plan, workload)
    uses: dict[_Name, Weights] = {
        ("exec", r, i, rows): (r, i, rows) for (r, i), parts in tiles.items() for rows in parts
    }
    expected: Counter[_Name] = Counter([*uses, *(("init", r, None, None) for r in range(len(workload.requests)))])
    uses |= {_name(task): task.weights for task in plan.tasks if task.kind == "exec"}
    for weights in dict.fromkeys(uses.values()):
        expected.update([("load", *weights), ("free", *weights)])
    found = Counter(map(_name, plan.tasks))
    for name, count in (expected - found).items():
        raise InvalidPlan(f"the plan lacks {count} {name[0]} of {_where(Task(*name[:3], rows=name[3]))}")
    for name, count in (found - expected).items():
        raise InvalidPlan(f"the plan has {count} {name[0]} too many of {_where(Task(*name[:3], rows=name[3]))}")
    return tiles


def _executed_tiles(plan: Plan, workload: Workload) -> _Tiles:
    """Return for each layer of each request, as (request, layer), the tiles it is executed in; gaps are tiles, too."""
    tiles: dict[tuple[int, int], list[Rows]] = {}
    parts: dict[tuple[int, int], set[Rows]] = {}
    for task in plan.tasks:
        if task.kind == "exec" and task.layer is not None and task.rows is not None:
            parts.setdefault((task.request, task.layer), set()).add(task.rows)
    for r, request in enumerate(workload.requests):
        for i in range(len(request.network.layers)):
            tiles[r, i] = list(_complete(parts.get((r, i), set()), request.network, i))
    return tiles


def _complete(parts: set[Rows], network: Network, layer: int) -> Iterator[Rows]:
    """Yield `parts` in order, and what is missing between them; the whole layer where it cannot be cut like that."""
    found = tiling(network.layers[layer])
    ranges = sorted(rows for rows in parts if isinstance(rows, tuple))
    if found is None or not ranges or not all(found.allows(rows) for rows in ranges):
        yield "asked" if parts == {"asked"} and is_asked(network, layer) else None
        return
    position = 0
    for first, last in ranges:
        if first > position:
            yield (position, first)
        if first >= position:
            yield (first, last)
        position = max(position, last)
    if position < found.rows:
        yield (position, found.rows)


def _check_task(i: int, task: Task, lanes: int) -> None:
    """Raise InvalidPlan unless the task waits for earlier ones, may run on some lane and reserves what it can."""
    for awaited in task.after:
        if not 0 <= awaited < i:
            raise InvalidPlan(f"{describe(i, task)} waits for task {awaited}, which is not an earlier one")
    if task.lane is not None and not 0 <= task.lane < lanes:
        raise InvalidPlan(f"{describe(i, task)} is for lane {task.lane}; there are lanes 0 to {lanes - 1}")
    if task.reserve < 0 or (task.reserve and task.kind in {"exec", "free"}):
        raise InvalidPlan(f"{describe(i, task)} reserves {task.reserve} bytes; only an init or a load can reserve")
    if task.weights_of is not None and task.kind not in {"exec", "free"}:
        raise InvalidPlan(f"{describe(i, task)} has weights of request {task.weights_of}; only an exec or a free can")
    if task.place is not None and (task.kind != "load" or task.rows == "asked"):
        raise InvalidPlan(f"{describe(i, task)} has a place; only the load of a layer or of a range of rows can")


def _check_source(i: int, task: Task, workload: Workload) -> None:
    """Raise InvalidPlan for a task with weights of a request that cannot have loaded them for it."""
    if task.weights_of is None:
        return
    for r in (task.request, task.weights_of):
        if not 0 <= r < len(workload.requests):
            raise InvalidPlan(f"{describe(i, task)} has weights of request {task.weights_of}; there is no request {r}")
    if workload.requests[task.weights_of].network is not workload.requests[task.request].network:
        raise InvalidPlan(f"{describe(i, task)} has weights of request {task.weights_of}, which is of another network")
    if task.rows == "asked" and task.weights_of != task.request:
        raise InvalidPlan(f"{describe(i, task)} has the rows that request {task.weights_of} asks for; give it its own")


def _needs(task: Task, workload: Workload, tiles: _Tiles) -> Sequence[_Name]:
    """Return the names of the tasks that must have ended before an init, load or exec can run."""
    init: _Name = ("init", task.request, None, None)
    if task.layer is None:
        return _condition(task.request, workload, tiles)
    if task.kind == "load":
        return (init,)
    position = tiles[task.request, task.layer].index(task.rows)
    if position:
        before: _Name = ("exec", task.request, task.layer, tiles[task.request, task.layer][position - 1])
    else:
        before = _last_exec(task.request, task.layer - 1, tiles)
    return (("load", *task.weights), before)


def _last_exec(request: int, layer: int, tiles: _Tiles) -> _Name:
    """Return the name of the exec that is done with `layer`; of the init, where there is no such layer."""
    return ("exec", request, layer, tiles[request, layer][-1]) if layer >= 0 else ("init", request, None, None)


def _condition(request: int, workload: Workload, tiles: _Tiles) -> Sequence[_Name]:
    """Return the name of what the init of `request` has to wait for, if it is asked on a condition."""
    when = workload.requests[request].when
    if when is None or workload.conditions == "ignore":
        return ()
    last = len(workload.requests[when.request].network.layers) - 1
    return (_last_exec(when.request, last if workload.conditions == "wait" else -1, tiles),)


def _check_places(plan: Plan, workload: Workload, index: Mapping[_Name, int]) -> None:
    """Raise InvalidPlan unless each load's place is inside the arena, and free by then."""
    occupied: list[tuple[int, int, int]] = []  # first byte, end, and the load
    for i, task in enumerate(plan.tasks):
        if task.place is None or task.layer is None:
            continue
        end = task.place + span_bytes(workload.requests[task.request].network.layers[task.layer], task.rows)
        if task.place < 0 or end > plan.arena_bytes or task.place % PAGE:
            raise InvalidPlan(
                f"{describe(i, task)} has bytes {task.place} to {end} as its place; "
                f"the arena has {plan.arena_bytes} bytes, and places begin at multiples of {PAGE}"
            )
        kept = []
        for first, last, load in occupied:
            if (
                first < end
                and task.place < last
                and _not_awaited(plan.tasks, i, [index["free", *plan.tasks[load].weights]])
            ):
                held = _where(plan.tasks[load])
                raise InvalidPlan(f"{describe(i, task)} does not wait until its place is free of {held}")
            # What is left of an earlier one beside the new one has to be waited for by who comes there.
            beside = ((first, min(last, task.place), load), (max(first, end), last, load))
            kept += [part for part in beside if part[0] < part[1]]
        occupied = [*kept, (task.place, end, i)]


def _not_awaited(tasks: Sequence[Task], waiting: int, awaited: Sequence[int]) -> list[int]:
    """Return those of `awaited` for which task `waiting` does not wait, neither itself nor through others."""
    left, first = set(awaited), min(awaited, default=0)
    to_see, seen = [waiting], {waiting}
    while left and to_see:
        after = tasks[to_see.pop()].after
        left.difference_update(after)
        new = {index for index in after if index > first} - seen  # what is before all of them cannot wait for one
        seen |= new
        to_see += new
    return [index for index in awaited if index in left]


def describe(index: int, task: Task) -> str:
    """Return words for a task: `task 7 (exec of request 0, layer 2)`."""
    return f"task {index} ({task.kind} of {_where(task)})"


def _where(task: Task) -> str:
    layer = "" if task.layer is None else f", layer {task.layer}"
    rows = f", rows {task.rows[0]} to {task.rows[1]}" if isinstance(task.rows, tuple) else ""
    return f"request {task.request}{layer}{rows}"
