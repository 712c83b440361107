"""Checks that an engine can carry out a plan. Pure functions; no torch, file or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import REQUESTED, WHOLE, Tile, find_tiling, has_requested_rows
from pytest_edgeload.planning.ancestry import Ancestry
from pytest_edgeload.planning.check_loops import check_loops, check_steps
from pytest_edgeload.planning.plan import InvalidPlan, Kind, Plan, Task, WeightKey
from pytest_edgeload.planning.words import describe, target_words, task_words
from pytest_edgeload.workload import Workload, awaited_requests

_TaskKey = tuple[Kind, int, int | None, Tile]
_Tiles = Mapping[tuple[int, int], Sequence[Tile]]
"""The tiles in which each layer of each request is executed, by (request, layer)."""

_UNCUT = (WHOLE,)


def check_plan(plan: Plan, workload: Workload) -> None:
    """Raise InvalidPlan unless the plan answers every request exactly once, and tasks wait for each other as needed.

    A load waits for its request's init; an exec waits for its load and for the exec before it. The tiles of a layer
    cover all of it and are executed in order. Weights that are loaded are used, and freed once, after their last use.
    A load has its place in the arena to itself. A request with a condition waits as the workload says,
    a request with feeds for the answers that it takes, and a request with a trigger for its answer. Tasks wait only for
    earlier tasks, or for earlier steps, so there is no cycle, and each may run on some lane. A loop has the steps of
    its requests, and a step waits for the one before it as needed; see `planning.check_loops`.

    The check does not cover reservations: the simulation and the worker notice a plan that stops for lack of memory.
    """
    for i, task in enumerate(plan.tasks):
        _check_task(i, task, plan.lanes)
        _check_source(i, task, workload)
    check_loops(plan)
    index = {_key(task): i for i, task in enumerate(plan.tasks)}
    tiles = _check_tasks(plan, workload, index.keys())
    ancestry = Ancestry(plan.tasks)
    users: dict[WeightKey, list[int]] = {}
    for i, task in enumerate(plan.tasks):
        if task.kind == "exec":
            users.setdefault(task.weights, []).append(i)
    for i, task in enumerate(plan.tasks):
        needs = users[task.weights] if task.kind == "free" else [index[n] for n in _needs(task, workload, tiles)]
        for awaited in ancestry.not_awaited(i, needs):
            needed = f"the {plan.tasks[awaited].kind} of {task_words(plan.tasks[awaited])}"
            raise InvalidPlan(describe(i, task), f"does not wait for {needed}", f"add task {awaited} to its `after`")
    check_steps(plan, ancestry, workload)


def _key(task: Task) -> _TaskKey:
    """Return the coordinates that no two tasks of a valid plan share."""
    return (task.kind, *task.weights) if task.kind == "free" else (task.kind, task.request, task.layer, task.tile)


def _check_tasks(plan: Plan, workload: Workload, keys: KeysView[_TaskKey]) -> _Tiles:
    """Raise InvalidPlan unless the tasks are exactly those that the workload needs; return the executed tiles.

    `keys` are those of all tasks, each once.
    """
    if plan.lanes < 1:
        raise InvalidPlan(f"a plan with {plan.lanes} lanes", "cannot run", "give it at least one lane")
    for order, name, times in (
        ("response-ratio", "service_s", plan.service_s),
        ("deadline", "deadlines_s", plan.deadlines_s),
    ):
        if plan.order == order and len(times) != len(workload.requests):
            raise InvalidPlan(
                f"the order {order}",
                f"needs {name} for {len(workload.requests)} requests, not {len(times)}",
                "give one time per request",
            )
    tiles = _executed_tiles(plan, workload)
    inits: list[_TaskKey] = [("init", r, None, WHOLE) for r in range(len(workload.requests))]
    weights = {task.weights for task in plan.tasks if task.kind == "exec"}
    used: list[_TaskKey] = [(kind, *key) for key in weights for kind in ("load", "free")]
    execs: list[_TaskKey] = [("exec", r, i, tile) for (r, i), layer_tiles in tiles.items() for tile in layer_tiles]
    if len(keys) == len(plan.tasks) and keys == {*inits, *used, *execs}:
        return tiles
    _raise_difference(plan, inits, execs)
    return tiles


def _raise_difference(plan: Plan, inits: Iterable[_TaskKey], execs: Iterable[_TaskKey]) -> None:
    """Raise InvalidPlan for a task that is missing or too many; these inits and execs are needed."""
    weights: dict[_TaskKey, WeightKey] = {key: key[1:] for key in execs}
    expected = Counter([*weights, *inits])
    weights |= {_key(task): task.weights for task in plan.tasks if task.kind == "exec"}
    for key in dict.fromkeys(weights.values()):
        expected.update([("load", *key), ("free", *key)])
    actual = Counter(map(_key, plan.tasks))
    for (kind, r, i, tile), count in (expected - actual).items():
        raise InvalidPlan(f"the plan lacks {count} {kind} of {target_words(r, i, tile)}")
    for (kind, r, i, tile), count in (actual - expected).items():
        raise InvalidPlan(f"the plan has {count} {kind} too many of {target_words(r, i, tile)}")


def _executed_tiles(plan: Plan, workload: Workload) -> _Tiles:
    """Return the tiles in which each layer of each request is executed, and those that are missing between them."""
    executed: dict[tuple[int, int], set[Tile]] = {}
    for task in plan.tasks:
        if task.kind == "exec" and task.layer is not None and task.tile is not WHOLE:
            executed.setdefault((task.request, task.layer), set()).add(task.tile)
    return {
        (r, i): [*_complete(executed[r, i], request.network, i)] if (r, i) in executed else _UNCUT
        for r, request in enumerate(workload.requests)
        for i in range(len(request.network.layers))
    }


def _complete(executed: set[Tile], network: Network, layer: int) -> Iterator[Tile]:
    """Yield the executed tiles in order, with the gaps between them; the whole layer if it cannot be cut that way."""
    tiling = find_tiling(network.layers[layer])
    ranges = sorted(tile for tile in executed if isinstance(tile, tuple))
    if tiling is None or not ranges or not all(map(tiling.allows, ranges)):
        yield REQUESTED if executed == {REQUESTED} and has_requested_rows(network, layer) else WHOLE
        return
    position = 0
    for first, last in ranges:
        if first > position:
            yield (position, first)
        if first >= position:
            yield (first, last)
        position = max(position, last)
    if position < tiling.rows:
        yield (position, tiling.rows)


def _check_task(i: int, task: Task, lanes: int) -> None:
    """Raise InvalidPlan unless the task waits for earlier tasks, has an existing lane, and only fields of its kind."""
    for awaited in task.after:
        if not 0 <= awaited < i:
            raise InvalidPlan(describe(i, task), f"waits for task {awaited}", "let it wait for earlier tasks only")
    if task.lane is not None and not 0 <= task.lane < lanes:
        raise InvalidPlan(describe(i, task), f"is for lane {task.lane}", f"choose a lane from 0 to {lanes - 1}")
    if task.reserve < 0 or (task.reserve and task.kind in {"exec", "free"}):
        raise InvalidPlan(describe(i, task), f"reserves {task.reserve} bytes", "only an init or a load can reserve")
    if task.weights_of is not None and task.kind not in {"exec", "free"}:
        raise InvalidPlan(describe(i, task), f"has weights of request {task.weights_of}", "only an exec or a free can")
    if task.place is not None and (task.kind != "load" or task.tile is REQUESTED):
        raise InvalidPlan(describe(i, task), "has a place", "only the load of a layer or of a range of rows can")


def _check_source(i: int, task: Task, workload: Workload) -> None:
    """Raise InvalidPlan if the task uses weights that the request `weights_of` cannot have loaded for it."""
    if task.weights_of is None:
        return
    source = f"has weights of request {task.weights_of}"
    requests = workload.requests
    for r in (task.request, task.weights_of):
        if not 0 <= r < len(requests):
            raise InvalidPlan(describe(i, task), f"{source}, but there is no request {r}")
    if requests[task.weights_of].network is not requests[task.request].network:
        raise InvalidPlan(describe(i, task), f"{source}, which is of another network")
    if task.tile is REQUESTED and task.weights_of != task.request:
        raise InvalidPlan(describe(i, task), f"{source}, which are the rows of that request only", "load its own rows")


def _needs(task: Task, workload: Workload, tiles: _Tiles) -> Sequence[_TaskKey]:
    """Return the keys of the tasks that must have ended before an init, load or exec can run."""
    if task.layer is None:
        return (*_condition(task.request, workload, tiles), *_awaited(task.request, workload, tiles))
    if task.kind == "load":
        return (("init", task.request, None, WHOLE),)
    position = tiles[task.request, task.layer].index(task.tile)
    if position:
        before: _TaskKey = ("exec", task.request, task.layer, tiles[task.request, task.layer][position - 1])
    else:
        before = _last_exec(task.request, task.layer - 1, tiles)
    return (("load", *task.weights), before)


def _last_exec(request: int, layer: int, tiles: _Tiles) -> _TaskKey:
    """Return the key of the last exec of `layer`; of the init if `layer` is negative."""
    return ("exec", request, layer, tiles[request, layer][-1]) if layer >= 0 else ("init", request, None, WHOLE)


def _condition(request: int, workload: Workload, tiles: _Tiles) -> Sequence[_TaskKey]:
    """Return the key of the task that the init of `request` must wait for because of its condition, if any."""
    when = workload.requests[request].when
    if when is None or workload.conditions == "ignore":
        return ()
    last = len(workload.requests[when.request].network.layers) - 1
    return (_last_exec(when.request, last if workload.conditions == "wait" else -1, tiles),)


def _awaited(request: int, workload: Workload, tiles: _Tiles) -> Sequence[_TaskKey]:
    """Return the keys of the tasks that end the requests that feed or trigger `request`."""
    sources = sorted(awaited_requests(workload.requests[request]))
    return [_last_exec(source, len(workload.requests[source].network.layers) - 1, tiles) for source in sources]
