"""`stream`: tiles of several networks flow through little memory; tiles that are used again are kept if there is room.

Source: ours. DeepEye executes convolutions while fully connected layers load; the 2020 study loads and frees layer by
layer; Demand Layering (RTSS 2022) and FlexNN (MobiCom 2024) read the next layer while the last one is computed. This
policy plans all of it ahead. Weights are cut into tiles, and each tile is read once for all requests that need it at
the time. Tiles of different networks are interleaved, so that the convolutions of one network are computed while the
fully connected layers of another are read. Every tile has its place in memory that is taken once.

It wins if memory is smaller than the weights, and if several requests need the same network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import chain, groupby

from msgspec.structs import replace

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.streaming.best_order import SameNetwork, StageGroup, best_order, weights_bytes
from pytest_edgeload.policies.streaming.division import divided
from pytest_edgeload.policies.streaming.memory import Ring, appearance, places, predecessors, room_bytes
from pytest_edgeload.policies.streaming.streams import by_deadline, is_of_streams
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse, first_requests, stages
from pytest_edgeload.workload import Workload, awaited_requests

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
    division = divided(uses, weights_bytes(uses, workload, budget))
    ring = Ring(division.kept_bytes, division.kept_bytes + division.ring_bytes)
    return places(division.sizes, uses, workload), ring


def _ordered(workload: Workload, budget: Budget) -> list[TileUse]:
    """Return the tile uses of all stages, each stage in the best order that was found.

    No order depends on later stages, except that the rule for requests that all arrive at once no longer holds if
    others come later. As long as all tiles so far fit in memory, they count as loaded; later, the tiles do that are
    kept for a stage.
    """
    networks = first_requests(workload)
    is_once = all(request.batch == request.arrival_s == 0 for request in workload.asked)
    loaded: dict[TileKey, int] | None = {}  # sizes by key; None as soon as they exceed the memory
    asked: dict[int, frozenset[bool]] = {}  # in loops, or not
    ordered: list[TileUse] = []
    for number, stage in enumerate(stages(workload)):
        groups = tuple(_group(workload, own, asked.get(networks[own[0]], frozenset())) for own in stage)
        requests = [*chain.from_iterable(stage)]
        uses = [
            replace(
                use,
                requests=tuple(requests[r] for r in use.requests),
                key=(networks[requests[use.key[0]]], use.layer, use.tile),
                read_s=use.size_bytes / budget.speeds.read_bytes_per_s,  # also of tiles that count as loaded
                stage=number,
            )
            for use in best_order(groups, budget, is_loaded=loaded is not None, is_once=is_once)
        ]
        ordered += uses
        for own, group in zip(stage, groups, strict=True):
            asked[networks[own[0]]] = group.asked_before | {group.is_loop}
        new = {use.key: use.size_bytes for use in uses if use.has_place}
        if loaded is not None and not new.keys() <= loaded.keys():
            loaded = loaded | new if _fit(loaded | new, ordered, workload, budget) else None
    return ordered


def _group(workload: Workload, requests: Sequence[int], asked_before: frozenset[bool]) -> StageGroup:
    network = SameNetwork(workload.requests[requests[0]].network)
    return StageGroup(network, tuple(workload.requests[r].steps for r in requests), asked_before)


def _fit(sizes: Mapping[TileKey, int], uses: Sequence[TileUse], workload: Workload, budget: Budget) -> bool:
    """Return whether tiles of these sizes fit in memory together with the activations of `uses`."""
    memory_bytes = budget.memory_bytes
    return memory_bytes is None or sum(sizes.values()) <= room_bytes(uses, workload, memory_bytes)


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
