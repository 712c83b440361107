"""`stream`: tiles of several networks flow through little memory; tiles that are used again are kept if there is room.

Source: ours. DeepEye executes convolutions while fully connected layers load; the 2020 study loads and frees layer by
layer; Demand Layering (RTSS 2022) and FlexNN (MobiCom 2024) read the next layer while the last one is computed. This
policy plans all of it ahead. Weights are cut into tiles, and each tile is read once for all requests that need it at
the time. Tiles of different networks are interleaved, so that the convolutions of one network are computed while the
fully connected layers of another are read. Every tile has its place in memory that is taken once.

It wins if memory is smaller than the weights, and if several requests need the same network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from itertools import chain, groupby
from typing import NamedTuple

from msgspec.structs import replace

from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.streaming.division import Division, divided, read_once
from pytest_edgeload.policies.streaming.interleave import (
    AHEAD_BYTES,
    ALLOCATED_BYTES_PER_S,
    RINGS,
    best_ring_bytes,
    durations_s,
    orders,
)
from pytest_edgeload.policies.streaming.memory import (
    Ring,
    activations_bytes,
    appearance,
    places,
    predecessors,
    room_bytes,
)
from pytest_edgeload.policies.streaming.streams import by_deadline, is_of_streams
from pytest_edgeload.policies.streaming.uses import Stage, TileKey, TileUse, first_requests, serve_first, shared, stages
from pytest_edgeload.workload import Workload, awaited_requests

TILE_BYTES, TILES = 6 << 20, 16
"""A tile is large enough to read at full speed, and small enough to stay in the processor's cache until it is executed.
At least this many tiles should fit in memory."""

LOOP_TILE_S, MIN_LOOP_TILE_BYTES = 0.01, 512 << 10
"""A tile of a loop takes about this long to read at most, unless it then has fewer bytes than this. A slow disk is
busy with small tiles as well, and they leave more memory for tiles that are kept."""

MAX_SLOWER = 1.01
"""If all requests arrive at once, the order with the shortest mean response time counts as the best if its makespan is
at most so many times the shortest one: the model is not more exact."""

COMPUTE, READERS = 0, (1, 2)
"""Lanes: one executes with all threads; two read, so that the disk always has the next read queued.

In a loop, the rows of an embedding are read by the lane that executes, which waits for them."""


def stream(workload: Workload, budget: Budget) -> Plan:
    """Per tile: its load when its place is free, its exec for each request in turn, its free; one chain of execs.

    If requests with deadlines arrive over time, there is a chain of execs for each network; see `streaming.streams`.
    """
    if is_of_streams(workload):
        return by_deadline(workload, budget)
    uses = _ordered(workload, budget)
    places, ring = _memory(uses, workload, budget)
    layout = _Layout(workload, places, ring, uses)
    numbered = enumerate(uses)
    for _, stage in groupby(numbered, key=lambda pair: pair[1].stage):
        layout.add_stage(list(stage))
    return layout.done()


def _memory(uses: Sequence[TileUse], workload: Workload, budget: Budget) -> tuple[dict[TileKey, int], Ring]:
    """Return the places of the tiles that are kept, and the ring for all other tiles."""
    division = divided(uses, _room_bytes(uses, workload, budget))
    ring = Ring(division.kept_bytes, division.kept_bytes + division.ring_bytes)
    return places(division.sizes, uses, workload), ring


def _room_bytes(uses: Sequence[TileUse], workload: Workload, budget: Budget) -> int:
    """Return the memory for weights, at most as much as they need."""
    all_bytes = sum({use.key: use.size_bytes for use in uses if use.has_place}.values())
    return all_bytes if budget.memory_bytes is None else min(all_bytes, room_bytes(uses, workload, budget.memory_bytes))


def _ordered(workload: Workload, budget: Budget) -> list[TileUse]:
    """Return the tile uses of all stages, each stage in the best order that was found.

    No order depends on later stages. As long as all tiles so far fit in memory, they count as loaded; later, the tiles
    do that are kept for a stage.
    """
    networks = first_requests(workload)
    alone = cache(lambda first, max_bytes: tuple(serve_first(workload, first, max_bytes, budget.speeds)))
    known: dict[tuple[tuple[tuple[int, bool, tuple[int, ...]], ...], bool], tuple[Stage, list[TileUse]]] = {}
    loaded: dict[TileKey, int] | None = {}  # sizes by key; None as soon as they exceed the memory
    asked: set[int] = set()
    ordered: list[TileUse] = []
    for number, stage in enumerate(stages(workload)):
        kinds = tuple((networks[g[0]], networks[g[0]] in asked, _steps(workload, g)) for g in stage)
        if (kinds, loaded is None) not in known:
            before = _Before(asked, loaded, alone)
            known[kinds, loaded is None] = stage, _best_order(workload, networks, stage, budget, before)
        like, uses = known[kinds, loaded is None]
        renumbered = dict(zip(chain.from_iterable(like), chain.from_iterable(stage), strict=True))
        for use in uses:
            requests = tuple(renumbered[r] for r in use.requests)
            read_s = use.size_bytes / budget.speeds.read_bytes_per_s  # also of tiles that count as loaded
            ordered.append(replace(use, requests=requests, read_s=read_s, stage=number))
        asked |= {networks[g[0]] for g in stage}
        new = {use.key: use.size_bytes for use in uses if use.has_place}
        if loaded is not None and not new.keys() <= loaded.keys():
            loaded = loaded | new if _fit(loaded | new, ordered, workload, budget) else None
    return ordered


def _steps(workload: Workload, requests: Sequence[int]) -> tuple[int, ...]:
    return tuple(workload.requests[r].steps for r in requests)


def _fit(sizes: Mapping[TileKey, int], uses: Sequence[TileUse], workload: Workload, budget: Budget) -> bool:
    """Return whether tiles of these sizes fit in memory together with the activations of `uses`."""
    memory_bytes = budget.memory_bytes
    return memory_bytes is None or sum(sizes.values()) <= room_bytes(uses, workload, memory_bytes)


class _Before(NamedTuple):
    """The networks that earlier stages asked, as their first requests, and their tiles if all of them are loaded.

    `alone` returns the uses of a network for its first request, with tiles of a size at most. It cuts it only once.
    """

    asked: Container[int]
    loaded: Container[TileKey] | None
    alone: Callable[[int, int], Sequence[TileUse]]


def _best_order(
    workload: Workload, networks: Sequence[int], stage: Stage, budget: Budget, before: _Before
) -> list[TileUse]:
    """Return the best order of a stage's tile uses: the requests of a network together, or one after the other.

    The best order has the shortest mean response time; if all requests arrive at once, its makespan is nearly the
    shortest. Together, requests read each tile once, but all of them are answered at the end. `networks` has the first
    request of each request's network.
    """
    apart: Stage = [(r,) for group in stage for r in group]
    is_loop = any(workload.requests[r].steps > 1 for (r,) in apart)  # whose answers all come at its end
    is_once = all(request.batch == request.arrival_s == 0 for request in workload.asked)
    found = [
        (_cost(uses, division, workload, budget, is_once=is_once), uses)
        for groups in ([stage] if is_loop or apart == stage else [stage, apart])
        for uses, division in _candidates(workload, networks, groups, budget, before)
    ]
    least_bytes, shortest_s = min(cost[:2] for cost, _ in found)
    longest_s = MAX_SLOWER * shortest_s if is_once else math.inf
    quick = ((cost, uses) for cost, uses in found if cost.excess_bytes == least_bytes and cost.makespan_s <= longest_s)
    return min(quick, key=lambda each: each[0].response_s)[1]


def _candidates(
    workload: Workload, networks: Sequence[int], groups: Stage, budget: Budget, before: _Before
) -> Iterator[tuple[list[TileUse], Division | None]]:
    """Yield orders of the tile uses of groups of requests, each with the division of memory if tiles are used again."""
    memory_bytes = budget.memory_bytes
    is_loop = all(min(_steps(workload, group)) > 1 for group in groups)
    tile_bytes = _max_tile_bytes(budget, is_loop=is_loop)
    chains = [[*shared(before.alone(networks[group[0]], tile_bytes), workload, group)] for group in groups]
    uses = [*chain.from_iterable(chains)]
    ring_bytes = AHEAD_BYTES
    if memory_bytes is not None:
        ring_bytes = min(ring_bytes, room_bytes(uses, workload, memory_bytes))
    known = [use for use in uses if use.key[0] in before.asked] if before.loaded is None else []
    division, loaded = None, before.loaded or ()
    if known or len({use.key for use in uses}) < len(uses):
        division = divided([*known, *uses], _room_bytes(uses, workload, budget))
        loaded = {use.key for use in known if use.key in division.sizes} if known else loaded
    chains = [[replace(u, read_s=0.0) if u.key in loaded else u for u in each] for each in chains]
    for order in orders(chains, ring_bytes):
        yield [*read_once(order, division.sizes)] if division is not None else order, division


def _max_tile_bytes(budget: Budget, *, is_loop: bool) -> int:
    """Return the most bytes of a tile, unless a layer cannot be cut so small."""
    most = TILE_BYTES if budget.memory_bytes is None else min(TILE_BYTES, budget.memory_bytes // TILES)
    if is_loop:
        most = min(most, max(MIN_LOOP_TILE_BYTES, int(LOOP_TILE_S * budget.speeds.read_bytes_per_s)))
    return max(PAGE, most)


class _Cost(NamedTuple):
    """The bytes by which an order must exceed the budget, its makespan, and the mean response time of its requests.

    If all requests arrive at once, the makespan includes the time to allocate the memory for weights: an order that
    keeps tiles for later must save more. Later requests find memory that is allocated.
    """

    excess_bytes: int
    makespan_s: float
    response_s: float


def _cost(
    uses: Sequence[TileUse], division: Division | None, workload: Workload, budget: Budget, *, is_once: bool
) -> _Cost:
    ring_bytes, excess_bytes = RINGS[-1], 0
    if budget.memory_bytes is not None:
        left = budget.memory_bytes - activations_bytes(uses, workload)
        largest = max((use.size_bytes for use in uses), default=0)
        ring_bytes, excess_bytes = min(left, ring_bytes), max(0, largest - left)
    kept_bytes = 0
    if division is not None:
        kept_bytes, ring_bytes = division.kept_bytes, division.ring_bytes
        uses = [*division.passing(uses)]
    elif is_once:
        ring_bytes = best_ring_bytes(uses, ring_bytes)
    makespan_s, response_s = durations_s(uses, ring_bytes)
    allocation_s = (kept_bytes + ring_bytes) / ALLOCATED_BYTES_PER_S if is_once else 0.0
    return _Cost(excess_bytes, makespan_s + allocation_s, response_s)


class _Layout:
    """Builds the plan stage by stage. Kept tiles have fixed places, all others get a place in the ring."""

    def __init__(self, workload: Workload, places: Mapping[TileKey, int], ring: Ring, uses: Sequence[TileUse]) -> None:
        self._workload = workload
        self._plan = Builder(workload, lanes=1 + len(READERS), arena_bytes=ring.end)
        self._places = places
        self._ring = ring
        self._last_use = {use.key: number for number, use in enumerate(uses)}
        self._has_loops = any(use.steps > 1 for use in uses)
        order = appearance(uses)
        # By request: the request whose start its init waits for.
        self._predecessors = predecessors(order, workload)
        self._inits: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._loads: dict[TileKey, tuple[int, int]] = {}  # of kept tiles: the request and the task that load them
        self._frees: dict[int, int] = {}
        self._count = 0  # of loads, so that the lanes read equally many
        self._last_exec: int | None = None

    def done(self) -> Plan:
        """Return the plan. Adds the inits of requests that use no tile."""
        for r in range(len(self._workload.requests)):
            self._begin(r)
        return self._plan.done()

    def add_stage(self, uses: Sequence[tuple[int, TileUse]]) -> None:
        """Add the tasks of the uses of a stage, each with its number; in a loop if its requests have several steps."""
        steps = max(use.steps for _, use in uses)
        if steps == 1:
            for number, use in uses:
                self._add(number, use)
                self._free_kept(number, use)
            return
        self._add_loop(uses, steps)
        for number, use in uses:
            self._free_kept(number, use)

    def _add_loop(self, uses: Sequence[tuple[int, TileUse]], steps: int) -> None:
        """Add inputs and kept tiles, which are loaded once, and then the loop in which all other tiles are read.

        The tiles have the same places in each step, so the first ones wait for the last ones of the step before.
        """
        for _, use in uses:
            for r in use.requests:
                self._begin(r)
        for number, use in uses:
            if use.key in self._places and use.key not in self._loads:
                self._loads[use.key] = self._load(number, use)
        self._ring.rewind()
        with self._plan.loop(steps, overlapping=True) as loop:
            loads = {number: load for number, use in uses if (load := self._add(number, use)) is not None}
            ring = deepcopy(self._ring)
            ring.rewind()
            for number, use in uses:
                if number in loads and use.has_place:
                    _, gone = ring.take(use.size_bytes, -1 - number)
                    for other in (other for other in gone if other in loads):
                        loop.carry(loads[number], self._frees[other])

    def _begin(self, r: int) -> None:
        """Add the init of request `r`, after those of the requests that it depends on."""
        request = self._workload.requests[r]
        if r not in self._inits:
            deciding = set() if request.when is None else {request.when.request}
            for source in sorted(awaited_requests(request) | deciding):
                self._begin(source)
            # a request of a loop begins before the loop, so at the latest after the stage before
            after = self._starts.get(self._predecessors[r], self._last_exec) if r in self._predecessors else None
            self._inits[r] = self._plan.add("init", r, after=after, lane=READERS[0])

    def _add(self, number: int, use: TileUse) -> int | None:
        """Add the tasks of use `number`, without the free of a kept tile; return its load if it was added."""
        self._begin(use.requests[0])
        is_kept = use.key in self._places
        known = self._loads.get(use.key)
        owner, load = known or self._load(number, use)
        if is_kept:
            self._loads[use.key] = owner, load
        for r in use.requests:
            self._begin(r)  # not before, because its init may wait for the start of an earlier request of this use
            self._last_exec = self._plan.add(
                "exec",
                r,
                use.layer,
                after=(self._inits[r], load, self._last_exec),
                lane=COMPUTE,
                tile=use.tile,
                weights_of=None if r == owner else owner,
            )
            self._starts.setdefault(r, self._last_exec)
        if not is_kept:
            self._free(number, use, owner)
        return load if known is None else None

    def _free_kept(self, number: int, use: TileUse) -> None:
        """Add the free of a kept tile if it is not used again after use `number`."""
        if use.key in self._places and self._last_use[use.key] == number:
            self._free(number, use, self._loads[use.key][0])

    def _free(self, number: int, use: TileUse, owner: int) -> None:
        # The last request frees the tile, because a batch is over only after all tasks of its requests.
        user = use.requests[-1]
        weights_of = None if user == owner else owner
        self._frees[number] = self._plan.add(
            "free", user, use.layer, after=self._last_exec, lane=COMPUTE, tile=use.tile, weights_of=weights_of
        )

    def _load(self, number: int, use: TileUse) -> tuple[int, int]:
        """Add the load of a use by its first request; return that request and the task."""
        owner = use.requests[0]
        place, gone = self._places.get(use.key), list[int]()
        if place is None and use.has_place:
            place, gone = self._ring.take(use.size_bytes, number)
        after = (self._inits[owner], *(self._frees[other] for other in gone))
        lane, turn = READERS[self._count % len(READERS)], (float(number),) if self._has_loops else ()
        if use.steps > 1 and not use.has_place:
            lane = COMPUTE  # has nothing to do before, and the readers are busy with tiles of the step that begins
        else:
            self._count += 1
        load = self._plan.add(
            "load", owner, use.layer, after=after, lane=lane, priority=turn, tile=use.tile, place=place
        )
        return owner, load
