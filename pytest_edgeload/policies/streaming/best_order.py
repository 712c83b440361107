"""The order in which a stage's tiles are used: the best of a few candidates by a model of disk, processor and ring."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, islice
from typing import NamedTuple

from msgspec.structs import replace

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies.streaming.division import Division, divided, read_once
from pytest_edgeload.policies.streaming.interleave import (
    AHEAD_BYTES,
    ALLOCATED_BYTES_PER_S,
    RINGS,
    best_ring_bytes,
    durations_s,
    orders,
)
from pytest_edgeload.policies.streaming.known_orders import KnownOrders
from pytest_edgeload.policies.streaming.memory import activations_bytes, room_bytes
from pytest_edgeload.policies.streaming.uses import Stage, TileUse, serve_first, shared
from pytest_edgeload.workload import Request, Workload

TILE_BYTES, TILES = 6 << 20, 16
"""A tile is large enough to read at full speed, and small enough to stay in the processor's cache until it is executed.
At least this many tiles should fit in memory."""

LOOP_TILE_S, MIN_LOOP_TILE_BYTES = 0.01, 512 << 10
"""A tile of a loop takes about this long to read at most, unless it then has fewer bytes than this. A slow disk is
busy with small tiles as well, and they leave more memory for tiles that are kept."""

MAX_SLOWER = 1.01
"""If all requests arrive at once, the order with the shortest mean response time counts as the best if its makespan is
at most so many times the shortest one: the model is not more exact."""

KNOWN = KnownOrders()
"""The best orders that were found in this process."""


@dataclass(frozen=True, slots=True, eq=False)
class SameNetwork:
    """A network that is equal only to itself: comparing all of its layers takes long."""

    network: Network

    def __eq__(self, other: object) -> bool:
        """Return whether both are of the same object."""
        return isinstance(other, SameNetwork) and self.network is other.network

    def __hash__(self) -> int:
        """Return a number that is the same for the same object."""
        return id(self.network)


class StageGroup(NamedTuple):
    """The requests of a stage for one network, by their steps.

    `asked_before` has True if the network was asked in a loop before, and False if it was asked without one.
    """

    network: SameNetwork
    steps: tuple[int, ...]
    asked_before: frozenset[bool]

    @property
    def is_loop(self) -> bool:
        """Whether all requests have several steps."""
        return min(self.steps) > 1


def best_order(groups: tuple[StageGroup, ...], budget: Budget, *, is_loaded: bool, is_once: bool) -> Sequence[TileUse]:
    """Return the best order of a stage's tile uses: the requests of a group together, or one after the other.

    Requests count from 0, group by group. With `is_loaded`, all tiles that were used before are still in memory. With
    `is_once`, all requests of the workload arrive at once.

    The best order has the shortest mean response time; with `is_once`, its makespan is nearly the shortest. Together,
    requests read each tile once, but all of them are answered at the end.
    """
    find = partial(_find_best, groups, budget, is_loaded=is_loaded, is_once=is_once)
    return KNOWN.order((groups, budget, is_loaded, is_once), find)


def _find_best(groups: tuple[StageGroup, ...], budget: Budget, *, is_loaded: bool, is_once: bool) -> Sequence[TileUse]:
    stage = _LoneStage(groups, budget, is_loaded=is_loaded, is_once=is_once)
    apart: Stage = [(r,) for group in stage.together for r in group]
    is_loop = any(steps > 1 for group in groups for steps in group.steps)  # whose answers all come at its end
    found = [
        (stage.cost(uses, division), uses)
        for parts in ([stage.together] if is_loop or apart == stage.together else [stage.together, apart])
        for uses, division in stage.candidates(parts)
    ]
    least_bytes, shortest_s = min(cost[:2] for cost, _ in found)
    longest_s = MAX_SLOWER * shortest_s if is_once else math.inf
    quick = ((cost, uses) for cost, uses in found if cost.excess_bytes == least_bytes and cost.makespan_s <= longest_s)
    return min(quick, key=lambda each: each[0].response_s)[1]


class _Cost(NamedTuple):
    """The bytes by which an order must exceed the budget, its makespan, and the mean response time of its requests.

    If all requests arrive at once, the makespan includes the time to allocate the memory for weights: an order that
    keeps tiles for later must save more. Later requests find memory that is allocated.
    """

    excess_bytes: int
    makespan_s: float
    response_s: float


class _LoneStage:
    """A stage as a workload of its own; see `best_order`. `together` has the requests of each group."""

    def __init__(self, groups: Sequence[StageGroup], budget: Budget, *, is_loaded: bool, is_once: bool) -> None:
        self._budget, self._is_once = budget, is_once
        self._is_loop = all(group.is_loop for group in groups)
        requests = [Request(group.network.network, steps=steps) for group in groups for steps in group.steps]
        self._workload = Workload("stage", tuple(requests))
        numbers = iter(range(len(requests)))
        self.together: Stage = [tuple(islice(numbers, len(group.steps))) for group in groups]
        self._first = {r: own[0] for own in self.together for r in own}
        self._alone = cache(self._cut)
        before = {own[0]: group.asked_before for group, own in zip(groups, self.together, strict=True)}
        self._asked = {first for first, loops in before.items() if loops}
        self._loaded = {
            use.key for first, loops in before.items() for is_loop in loops for use in self._alone(first, is_loop)
        }
        if not is_loaded:
            self._loaded.clear()
        self._is_loaded = is_loaded

    def _cut(self, first: int, is_loop: bool) -> Sequence[TileUse]:  # noqa: FBT001  # `cache` compares positions
        """Return the uses of the network of request `first`, for this request."""
        max_bytes = _max_tile_bytes(self._budget, is_loop=is_loop)
        return [*serve_first(self._workload, first, max_bytes, self._budget.speeds)]

    def candidates(self, parts: Stage) -> Iterator[tuple[list[TileUse], Division | None]]:
        """Yield orders of the tile uses of `parts`, each with the division of memory if tiles are used again."""
        workload, memory_bytes = self._workload, self._budget.memory_bytes
        chains = [[*shared(self._alone(self._first[own[0]], self._is_loop), workload, own)] for own in parts]
        uses = [*chain.from_iterable(chains)]
        ring_bytes = AHEAD_BYTES
        if memory_bytes is not None:
            ring_bytes = min(ring_bytes, room_bytes(uses, workload, memory_bytes))
        known = [] if self._is_loaded else [use for use in uses if use.key[0] in self._asked]
        division, loaded = None, self._loaded
        if known or len({use.key for use in uses}) < len(uses):
            division = divided([*known, *uses], weights_bytes(uses, workload, self._budget))
            loaded = {use.key for use in known if use.key in division.sizes} if known else loaded
        chains = [[replace(u, read_s=0.0) if u.has_place and u.key in loaded else u for u in each] for each in chains]
        for order in orders(chains, ring_bytes):
            yield [*read_once(order, division.sizes)] if division is not None else order, division

    def cost(self, uses: Sequence[TileUse], division: Division | None) -> _Cost:
        """Return the cost of an order."""
        ring_bytes, excess_bytes, kept_bytes = RINGS[-1], 0, 0
        if self._budget.memory_bytes is not None:
            left = self._budget.memory_bytes - activations_bytes(uses, self._workload)
            largest = max((use.size_bytes for use in uses), default=0)
            ring_bytes, excess_bytes = min(left, ring_bytes), max(0, largest - left)
        if division is not None:
            kept_bytes, ring_bytes = division.kept_bytes, division.ring_bytes
            uses = [*division.passing(uses)]
        elif self._is_once:
            ring_bytes = best_ring_bytes(uses, ring_bytes)
        makespan_s, response_s = durations_s(uses, ring_bytes)
        allocation_s = (kept_bytes + ring_bytes) / ALLOCATED_BYTES_PER_S if self._is_once else 0.0
        return _Cost(excess_bytes, makespan_s + allocation_s, response_s)


def _max_tile_bytes(budget: Budget, *, is_loop: bool) -> int:
    """Return the most bytes of a tile, unless a layer cannot be cut so small."""
    most = TILE_BYTES if budget.memory_bytes is None else min(TILE_BYTES, budget.memory_bytes // TILES)
    if is_loop:
        most = min(most, max(MIN_LOOP_TILE_BYTES, int(LOOP_TILE_S * budget.speeds.read_bytes_per_s)))
    return max(PAGE, most)


def weights_bytes(uses: Sequence[TileUse], workload: Workload, budget: Budget) -> int:
    """Return the memory for weights, at most as much as they need."""
    all_bytes = sum({use.key: use.size_bytes for use in uses if use.has_place}.values())
    return all_bytes if budget.memory_bytes is None else min(all_bytes, room_bytes(uses, workload, budget.memory_bytes))
