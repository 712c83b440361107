"""Plans: the tasks of a workload and what each waits for. Pure data and pure functions; no torch, file or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from pytest_edgeload.errors import Refusal
from pytest_edgeload.networks.layer import Layer, Network
from pytest_edgeload.networks.tile import PAGE, Rows, is_asked, span_bytes, tiling
from pytest_edgeload.workload import Workload

Kind = Literal["init", "load", "exec", "free"]
Order = Literal["created", "ready", "response-ratio"]

STAGES: tuple[Kind, ...] = ("load", "exec", "free")
"""What happens to a layer, in this order."""


STUCK = "the plan stops: tasks are left, none runs, and none can be taken"
"""Words for a plan whose tasks wait for each other's memory, or for requests that come only after them."""


class InvalidPlan(Refusal):
    """A plan that no engine could carry out; the message names the task and what it lacks."""


class Speeds(msgspec.Struct, frozen=True):
    """How fast weights are read and operators run, in bytes and floating-point operations a second."""

    read_bytes_per_s: float = 1e9
    flops_per_s: float = 5e10

    def load_s(self, layer: Layer) -> float:
        """Return the seconds that loading `layer` takes."""
        return layer.weight_bytes / self.read_bytes_per_s

    def exec_s(self, layer: Layer) -> float:
        """Return the seconds that executing `layer` takes."""
        return layer.flops / self.flops_per_s

    def service_s(self, network: Network) -> float:
        """Return the seconds that one request of `network` takes when nothing overlaps."""
        return sum(self.load_s(layer) + self.exec_s(layer) for layer in network.layers)


class Budget(msgspec.Struct, frozen=True):
    """What a policy may plan with: memory above the idle worker (None without a limit), lanes, and speeds."""

    memory_bytes: int | None = None
    lanes: int = 2
    speeds: Speeds = Speeds()


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of one request: init (read its input), or load, exec or free of one of its layers, or of a tile of it.

    `after` holds the indices of the tasks that must have ended; they are always smaller than the task's own. `lane` is
    the only lane that may run it (None: any). Of several ready tasks the least `priority` goes first. `reserve` bytes
    are set aside when the task is taken: by a load until its layer is freed, by an init until its request is done.

    `rows` are the tile, None the whole layer. An exec uses, and a free frees, the weights that the request `weights_of`
    loads, of the same network (None: its own). A load with a `place` brings them there, that many bytes from the start
    of the plan's arena; else into memory of their own, which is given back when they are freed.
    """

    kind: Kind
    request: int
    layer: int | None = None
    after: tuple[int, ...] = ()
    lane: int | None = None
    priority: tuple[float, ...] = ()
    reserve: int = 0
    rows: Rows = None
    weights_of: int | None = None
    place: int | None = None

    @property
    def weights(self) -> Weights:
        """The weights that the task loads, uses or frees."""
        return (self.request if self.weights_of is None else self.weights_of, self.layer, self.rows)


Weights = tuple[int, int | None, Rows]
"""The request that loads them, the layer, and the tile."""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tasks in the order of their creation, the number of lanes that run them, and which ready one goes first.

    Among tasks of the same priority: `created`: the ready task that was created first; `ready`: the one that became
    ready first (a queue); `response-ratio`: that of the request with the highest (waited + `service_s`) / `service_s`.

    A task that reserves is taken when all reservations stay within `memory_bytes` (None: always), or nothing else is
    reserved. One that has to wait for memory may be passed over by `patience` others that reserve, and then by none.

    `arena_bytes` of memory are taken once, for all loads that have a place there.
    """

    tasks: tuple[Task, ...]
    lanes: int = 1
    order: Order = "created"
    memory_bytes: int | None = None
    patience: int | None = None
    service_s: tuple[float, ...] = ()
    arena_bytes: int = 0


class Builder:
    """Collects the tasks of a workload's plan; `add` returns the index by which later tasks wait for this one.

    What a request with a condition waits for is added to its init, as the workload's way with conditions says.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        lanes: int = 1,
        order: Order = "created",
        memory_bytes: int | None = None,
        patience: int | None = None,
        service_s: tuple[float, ...] = (),
        arena_bytes: int = 0,
    ) -> None:
        self._workload = workload
        self._tasks: list[Task] = []
        self._inits: dict[int, int] = {}
        self._answers: dict[int, int] = {}
        self._rest = (lanes, order, memory_bytes, patience, service_s, arena_bytes)

    def add(
        self,
        kind: Kind,
        request: int,
        layer: int | None = None,
        *,
        after: int | Iterable[int | None] | None = None,
        lane: int | None = None,
        priority: tuple[float, ...] = (),
        reserve: int = 0,
        rows: Rows = None,
        weights_of: int | None = None,
        place: int | None = None,
    ) -> int:
        """Add a task that waits for `after`: one index, several, or None for nothing."""
        awaited = [after] if after is None or isinstance(after, int) else list(after)
        index = len(self._tasks)
        if kind == "init":
            self._inits[request] = self._answers[request] = index
            awaited.append(self._condition(request))
        elif kind == "exec":
            self._answers[request] = index
        waits = tuple(dict.fromkeys(i for i in awaited if i is not None))
        self._tasks.append(Task(kind, request, layer, waits, lane, priority, reserve, rows, weights_of, place))
        return index

    def _condition(self, request: int) -> int | None:
        """Return the task that the init of `request` waits for because of its condition."""
        when = self._workload.requests[request].when
        if when is None or self._workload.conditions == "ignore":
            return None
        return (self._answers if self._workload.conditions == "wait" else self._inits).get(when.request)

    def done(self) -> Plan:
        """Return the plan."""
        return Plan(tuple(self._tasks), *self._rest)


def check(plan: Plan, workload: Workload) -> None:
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


_Name = tuple[Kind, int, int | None, Rows]
_Tiles = Mapping[tuple[int, int], Sequence[Rows]]


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
