"""`stream`: tiles of several networks flow through little memory; what is asked again stays if there is room.

Source: ours. DeepEye executes convolutions while fully connected layers load, the 2020 study loads and frees by layer;
Demand Layering (RTSS 2022) and FlexNN (MobiCom 2024) read the next while computing the last. Here all of it is planned
ahead: weights are cut into tiles, each is read once for all requests that need it at the time, tiles of different
networks are interleaved so that one's convolutions are computed while another's fully connected layers are read, and
every tile has its place in memory that was taken once.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.policies.streaming.interleave import RINGS, best_ring_bytes, makespan_s, orders, response_s
from pytest_edgeload.policies.streaming.memory import AHEAD, Ring, activations_bytes, appearance, kept, room_bytes
from pytest_edgeload.policies.streaming.units import Stage, Tile, Unit, first_requests, serve, stages
from pytest_edgeload.workload import Workload

TILE_BYTES, TILES = 6 << 20, 16
"""A tile is large enough for the disk to be at its best and small enough to stay in the processor's cache until it is
executed; and so many should fit the memory."""

PASSING_BYTES = 64 << 20
"""What is left for tiles that come and go where others could stay."""

COMPUTE, READERS = 0, (1, 2)
"""Lanes: one executes with all threads, two read, so that the disk has something to do while one is being served."""


def stream(workload: Workload, budget: Budget) -> Plan:
    """Per tile: its load when its place is free, its exec for each request in turn, its free; one chain of execs."""
    units = _ordered(workload, budget)
    places, ring = _memory(units, workload, budget)
    laid = _Laid(workload, places, ring, appearance(units))
    last_use = {unit.tile: number for number, unit in enumerate(units)}
    for number, unit in enumerate(units):
        laid.add(number, unit, is_last=last_use[unit.tile] == number)
    return laid.done()


def _memory(units: Sequence[Unit], workload: Workload, budget: Budget) -> tuple[dict[Tile, int], Ring]:
    """Return the places of the tiles that stay, and the ring for those that come and go."""
    sizes = {unit.tile: unit.size_bytes for unit in units if unit.has_place}
    room = sum(sizes.values())
    if budget.memory_bytes is not None:
        room = min(room, room_bytes(units, workload, budget.memory_bytes))
    passing = 0 if room == sum(sizes.values()) else max([*sizes.values(), min(PASSING_BYTES, room // 2)])
    places = kept(units, room - passing)
    kept_bytes = sum(sizes[tile] for tile in places)
    others = {unit.tile: unit for unit in units if unit.has_place and unit.tile not in places}
    ring_bytes = best_ring_bytes([*others.values()], room - kept_bytes)
    return places, Ring(kept_bytes, kept_bytes + ring_bytes)


def _ordered(workload: Workload, budget: Budget) -> list[Unit]:
    """Return the units of all stages, those of a stage in the best order found, knowing what was there before.

    An order depends on nothing that comes later. While all that was asked so far fits the memory, it counts as there.
    """
    networks = first_requests(workload)
    known: dict[tuple[tuple[int, int, bool], ...], tuple[Stage, list[Unit]]] = {}
    there: dict[Tile, int] | None = {}  # None from when it was too much
    ordered: list[Unit] = []
    for stage in stages(workload):
        asked_before = {tile[0] for tile in there or ()}
        kinds = tuple((networks[group[0]], len(group), networks[group[0]] in asked_before) for group in stage)
        if kinds not in known:
            candidates = _candidates(workload, stage, budget, there or ())
            known[kinds] = stage, min(candidates, key=lambda units: _cost(units, workload, budget))
        like, units = known[kinds]
        now = dict(zip(chain.from_iterable(like), chain.from_iterable(stage), strict=True))
        ordered += [replace(unit, requests=tuple(now[r] for r in unit.requests)) for unit in units]
        new = {unit.tile: unit.size_bytes for unit in units if unit.has_place}
        if there is not None and not new.keys() <= there.keys():
            there = there | new if _fit(there | new, ordered, workload, budget) else None
    return ordered


def _fit(tiles: Mapping[Tile, int], units: Sequence[Unit], workload: Workload, budget: Budget) -> bool:
    """Tell whether `tiles`, by their sizes, can all stay beside what executing `units` takes."""
    memory_bytes = budget.memory_bytes
    return memory_bytes is None or sum(tiles.values()) <= room_bytes(units, workload, memory_bytes)


def _candidates(workload: Workload, stage: Stage, budget: Budget, there: Container[Tile]) -> Iterator[list[Unit]]:
    """Yield orders of what serves a stage: requests of one network together, or one after the other."""
    memory_bytes = budget.memory_bytes
    tile_bytes = TILE_BYTES if memory_bytes is None else max(PAGE, min(TILE_BYTES, memory_bytes // TILES))
    apart = [(r,) for group in stage for r in group]
    for groups in (stage,) if apart == stage else (stage, apart):
        chains = [serve(workload, group, tile_bytes, budget.speeds) for group in groups]
        yield from orders([[replace(u, read_s=0.0) if u.tile in there else u for u in chain] for chain in chains])


def _cost(units: Sequence[Unit], workload: Workload, budget: Budget) -> tuple[int, float]:
    """Return by how many bytes an order exceeds the budget whatever is done, and how long it takes.

    That is the makespan where all is asked at once, and the mean response time where more is to come.
    """
    is_once = all(request.batch == request.arrival_s == 0 for request in workload.asked)
    takes_s = makespan_s if is_once else response_s
    if budget.memory_bytes is None:
        return 0, takes_s(units, RINGS[-1])
    left = budget.memory_bytes - activations_bytes(units, workload)
    least = max((unit.size_bytes for unit in units), default=0)
    return max(0, least - left), takes_s(units, min(left, RINGS[-1]))


class _Laid:
    """The plan while units are laid into it; those that have no place of their own go round the ring."""

    def __init__(self, workload: Workload, places: Mapping[Tile, int], ring: Ring, order: Sequence[int]) -> None:
        self._workload = workload
        self._plan = Builder(workload, lanes=1 + len(READERS), arena_bytes=ring.end)
        self._places = places
        self._ring = ring
        self._before = dict(zip(order[AHEAD:], order, strict=False))  # the request whose start an init waits for
        self._inits: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._loads: dict[Tile, tuple[int, int]] = {}  # of tiles that stay: the request, and the task
        self._frees: dict[int, int] = {}
        self._step: int | None = None

    def done(self) -> Plan:
        """Return the plan, with those requests that need no unit."""
        for r in range(len(self._workload.requests)):
            self._begin(r)
        return self._plan.done()

    def _begin(self, r: int) -> None:
        """Add the init of request `r`, after that of the one its condition asks about."""
        when = self._workload.requests[r].when
        if r not in self._inits:
            if when is not None:
                self._begin(when.request)
            after = self._starts.get(self._before.get(r, r))
            self._inits[r] = self._plan.add("init", r, after=after, lane=READERS[0])

    def add(self, number: int, unit: Unit, *, is_last: bool) -> None:
        """Add the tasks of a unit, known by its number; `is_last`: its tile is not used again."""
        self._begin(unit.requests[0])
        stays = unit.tile in self._places
        owner, load = self._loads.get(unit.tile) or self._load(number, unit)
        if stays:
            self._loads[unit.tile] = owner, load
        for r in unit.requests:
            self._begin(r)  # only now, for it waits for the start of one that may be among them
            self._step = self._plan.add(
                "exec",
                r,
                unit.layer,
                after=(self._inits[r], load, self._step),
                lane=COMPUTE,
                rows=unit.rows,
                weights_of=None if r == owner else owner,
            )
            self._starts.setdefault(r, self._step)
        if is_last or not stays:
            # By the one that used it last: a batch is not done before all tasks of its requests are.
            user = unit.requests[-1]
            uses = None if user == owner else owner
            self._frees[number] = self._plan.add(
                "free", user, unit.layer, after=self._step, lane=COMPUTE, rows=unit.rows, weights_of=uses
            )

    def _load(self, number: int, unit: Unit) -> tuple[int, int]:
        """Add the load of a unit by the first of its requests; return that request, and the task."""
        owner = unit.requests[0]
        place, gone = self._places.get(unit.tile), list[int]()
        if place is None and unit.has_place:
            place, gone = self._ring.take(unit.size_bytes, number)
        after = (self._inits[owner], *(self._frees[other] for other in gone))
        lane = READERS[number % len(READERS)]
        return owner, self._plan.add("load", owner, unit.layer, after=after, lane=lane, rows=unit.rows, place=place)
