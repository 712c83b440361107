"""Which networks of requests with deadlines share chains, and how memory is divided among chains. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies.parts import scratch_bytes
from pytest_edgeload.policies.streaming.memory import activations_bytes
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse, first_requests, serve
from pytest_edgeload.workload import Workload

TILE_BYTES = 6 << 20
"""The largest tile: large enough to read at full speed, and small enough that an urgent exec begins soon."""

TILE_S = 0.05
"""The longest exec of a tile at the known speeds: a frame that arrives meanwhile waits for its end."""

RING_TILES = 4
"""The tiles in a ring: two are read, one waits, and one is executed."""

RINGS_SHARE, FIXED_SHARE = 1 / 8, 3 / 4
"""The most of the memory for all rings, unless a tile is larger, and for activations and rings with chains of their
own. Waiting for other networks costs more than reading again, so little may be left for tiles that stay."""

TWICE_SHARE = 1 / 4
"""The most of the memory for activations, rings and pinned tiles if two requests of a network are served at a time:
then a request that is late does not delay the next one."""

ANSWERS_AHEAD, ANSWERS_SHARE = 8, 1 / 16
"""The answers for which memory is set aside, and the most of all memory for them: a request waits only for memory that
was given back so many requests ago."""


@dataclass(frozen=True, slots=True)
class ChainNetworks:
    """Networks that share chains, as the first request of each, and their tiles. `pinned` tiles stay until the end.

    `chains` is the number of chains: so many requests are served at a time. Bytes of activations and of rings are those
    of one chain. `answers_bytes` are for the next `answers_ahead` answers of each network.
    """

    uses: dict[int, list[TileUse]]
    pinned: dict[TileKey, int]
    activations_bytes: int
    ring_bytes: int
    answers_bytes: int
    answers_ahead: int
    chains: int = 1

    @property
    def fixed_bytes(self) -> int:
        """The memory for activations, rings, pinned tiles and the next answers."""
        return self.chains * (self.activations_bytes + self.ring_bytes) + sum(self.pinned.values()) + self.answers_bytes


def grouped(workload: Workload, budget: Budget) -> list[ChainNetworks]:
    """Return the groups of networks: each network is one, as long as the memory for activations and rings allows it.

    Otherwise the networks with the longest deadlines share a chain. If memory is plentiful, each group has two chains.
    If all tiles can stay, they are larger.
    """
    networks = first_requests(workload)
    deadlines = deadlines_s(workload)
    longest = {first: max(d for r, d in enumerate(deadlines) if networks[r] == first) for first in set(networks)}
    parts = [[first] for first in sorted(longest, key=lambda first: (longest[first], first))]
    memory_bytes = math.inf if budget.memory_bytes is None else budget.memory_bytes
    room = memory_bytes - operators_bytes(workload, budget)
    while True:
        twice, once = (_groups(workload, budget, parts, chains) for chains in (2, 1))
        costs_tiles = _all_stay(once, room) and not _all_stay(twice, room)
        if _fixed_bytes(twice) <= TWICE_SHARE * memory_bytes and not costs_tiles:
            return _in_large_tiles(twice, workload, budget, room)
        if len(parts) == 1 or _fixed_bytes(once) <= FIXED_SHARE * memory_bytes:
            return _in_large_tiles(once, workload, budget, room)
        parts[-2:] = [parts[-2] + parts[-1]]


def _in_large_tiles(
    groups: list[ChainNetworks], workload: Workload, budget: Budget, room: float
) -> list[ChainNetworks]:
    """Return the groups with larger tiles if all of them can stay, with rings that leave room for answers to come.

    They are read once, and each task of a smaller tile would take time.
    """
    if budget.memory_bytes is None or not _all_stay(groups, room):
        return groups
    parts, chains = [[*group.uses] for group in groups], groups[0].chains
    rings = [group.ring_bytes for group in groups if group.ring_bytes for _ in range(chains)]
    rings_bytes = int(TWICE_SHARE * budget.memory_bytes) - (_fixed_bytes(groups) - sum(rings))
    tile_bytes = min(TILE_BYTES, rings_bytes // max(1, RING_TILES * len(rings)) // PAGE * PAGE)
    large = _groups(workload, budget, parts, chains, max(tile_bytes, _tile_bytes(budget, chains * len(parts))))
    return large if _all_stay(large, room) else groups


def _fixed_bytes(groups: Iterable[ChainNetworks]) -> int:
    return sum(group.fixed_bytes for group in groups)


def _tile_bytes(budget: Budget, rings: int) -> int:
    """Return the most bytes of a tile that goes round one of so many rings."""
    if budget.memory_bytes is None:
        return TILE_BYTES
    return max(PAGE, min(TILE_BYTES, int(RINGS_SHARE * budget.memory_bytes) // (RING_TILES * rings)))


def _groups(
    workload: Workload, budget: Budget, parts: Sequence[Sequence[int]], chains: int, tile_bytes: int | None = None
) -> list[ChainNetworks]:
    """Return a group for each part of the networks, with so many chains; tiles may go round the rings by default."""
    usual_bytes = _tile_bytes(budget, chains * len(parts))
    return [
        replace(_group(workload, budget, part, usual_bytes, tile_bytes or usual_bytes), chains=chains) for part in parts
    ]


def _group(workload: Workload, budget: Budget, part: Sequence[int], usual_bytes: int, tile_bytes: int) -> ChainNetworks:
    """Return the group of the networks of these first requests, in tiles of at most `tile_bytes` if possible.

    A network that fits in a ring of usual tiles stays until the end.
    """
    networks = first_requests(workload)
    uses, activations, ring_sizes, pinned = {}, [0], [0], dict[TileKey, int]()
    for first in part:
        like = max((r for r, f in enumerate(networks) if f == first), key=lambda r: workload.requests[r].steps)
        uses[first] = list(serve(workload, first, (like,), tile_bytes, budget.speeds, TILE_S))
        activations.append(activations_bytes(uses[first], workload))
        sizes = {use.key: use.size_bytes for use in uses[first] if use.has_place}
        if budget.memory_bytes is not None:
            own = _pinned(sizes, RING_TILES * usual_bytes)
            pinned |= own
            others = [size_bytes for key, size_bytes in sizes.items() if key not in own]
            ring_sizes.append(min(sum(others), max([RING_TILES * tile_bytes, *others])) // PAGE * PAGE)
    return ChainNetworks(uses, pinned, max(activations), max(ring_sizes), *_answers(workload, budget, part))


def operators_bytes(workload: Workload, budget: Budget) -> int:
    """Return the memory to set aside for operators."""
    if budget.memory_bytes is None:
        return 0
    networks = (workload.requests[first].network for first in dict.fromkeys(first_requests(workload)))
    return scratch_bytes(networks, budget.memory_bytes)


def _all_stay(groups: Iterable[ChainNetworks], room: float) -> bool:
    """Return whether all tiles can stay: in so much memory besides the rings, and in the ring of a single chain."""
    for group in groups:
        room -= group.fixed_bytes - sum(group.pinned.values()) - (group.ring_bytes if group.chains == 1 else 0)
        room -= sum({use.key: use.size_bytes for uses in group.uses.values() for use in uses if use.has_place}.values())
    return room >= 0


def fitting_in_rings(groups: Iterable[ChainNetworks]) -> set[TileKey]:
    """Return tiles that can stay in the rings of single chains together; the largest go first."""
    found: set[TileKey] = set()
    for group in (group for group in groups if group.chains == 1):
        left_bytes = group.ring_bytes
        uses = (use for each in group.uses.values() for use in each if use.has_place and use.key not in group.pinned)
        for use in sorted(uses, key=lambda use: use.size_bytes, reverse=True):
            if use.size_bytes <= left_bytes:
                left_bytes -= use.size_bytes
                found.add(use.key)
    return found


def _answers(workload: Workload, budget: Budget, part: Sequence[int]) -> tuple[int, int]:
    """Return the memory to set aside for answers of each of these networks, and for how many it is."""
    if budget.memory_bytes is None:
        return 0, 0
    sizes = {first: workload.requests[first].network.answer_bytes for first in first_requests(workload)}
    ahead = min(ANSWERS_AHEAD, int(ANSWERS_SHARE * budget.memory_bytes) // max(1, sum(sizes.values())))
    return ahead * sum(sizes[first] for first in part), ahead


def _pinned(sizes: Mapping[TileKey, int], ring_bytes: int) -> dict[TileKey, int]:
    """Return the tiles that stay because a ring for them would need as much memory.

    They are those of a network that fits in the ring, and a tile that alone exceeds it.
    """
    if sum(sizes.values()) <= ring_bytes:
        return dict(sizes)
    large = {key: size_bytes for key, size_bytes in sizes.items() if size_bytes > ring_bytes}
    return large if len(large) == 1 else {}


def deadlines_s(workload: Workload) -> tuple[float, ...]:
    """Return the deadline of each request; requests without one have the longest of the others."""
    given = [request.deadline_s for request in workload.requests]
    longest_s = max(deadline_s for deadline_s in given if deadline_s is not None)
    return tuple(longest_s if deadline_s is None else deadline_s for deadline_s in given)
