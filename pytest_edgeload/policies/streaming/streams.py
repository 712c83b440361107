"""The plan of `stream` for requests with deadlines that arrive over time: each network has a chain and a ring.

The execs of a network are one chain. Networks wait for each other only in the lanes, in which deadlines decide, and
when a tile of one takes the memory of a tile of another. So an urgent request is served while a long one is read.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count

from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.planning.plan import Budget, Builder, LoopBuilder, Plan
from pytest_edgeload.policies.parts import scratch_bytes
from pytest_edgeload.policies.streaming.memory import Ring, activations_bytes
from pytest_edgeload.policies.streaming.resident import Demand, Residents
from pytest_edgeload.policies.streaming.room import Room
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse, first_requests, serve
from pytest_edgeload.workload import Workload, awaited_requests

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

COMPUTE, READERS = 0, (1, 2)
"""Lanes, as in the other plans of `stream`."""


def is_of_streams(workload: Workload) -> bool:
    """Return whether requests arrive over time in an open loop, and some have a deadline."""
    requests = workload.requests
    is_open = len({request.arrival_s for request in requests}) > 1 and not any(request.batch for request in requests)
    return is_open and any(request.deadline_s is not None for request in requests)


def by_deadline(workload: Workload, budget: Budget) -> Plan:
    """Return the plan for requests with deadlines. Each is served with what is known when it arrives.

    Requests without a deadline have the longest deadline of the others.
    """
    server = _Server(workload, budget)
    for r in range(len(workload.requests)):
        server.serve(r)
    return server.done()


@dataclass(slots=True)
class _Kept:
    """A tile that stays: the request that loaded it, the load, the request that used it last, and its last tasks.

    There is a last task for each chain that has used it, by the chain's number.
    """

    owner: int
    load: int
    user: int
    last: dict[int, int]
    use: TileUse


@dataclass(slots=True)
class _ChainState:
    """Requests that are served one after the other: the ring of the tiles that do not stay, and the last task.

    `held` has the tiles that stay in the ring until others take their places, each with the number of its use.
    """

    number: int
    ring: Ring
    last: int | None = None
    count: int = 0  # of uses so far
    frees: dict[int, int] = field(default_factory=dict)  # of tiles in the ring, by number of the use
    held: dict[TileKey, tuple[int, _Kept]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _ChainNetworks:
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


def _grouped(workload: Workload, budget: Budget) -> list[_ChainNetworks]:
    """Return the groups of networks: each network is one, as long as the memory for activations and rings allows it.

    Otherwise the networks with the longest deadlines share a chain. If memory is plentiful, each group has two chains.
    """
    networks = first_requests(workload)
    deadlines = _deadlines(workload)
    longest = {first: max(d for r, d in enumerate(deadlines) if networks[r] == first) for first in set(networks)}
    parts = [[first] for first in sorted(longest, key=lambda first: (longest[first], first))]
    while True:
        twice = [replace(_group(workload, budget, part, 2 * len(parts)), chains=2) for part in parts]
        groups = [_group(workload, budget, part, len(parts)) for part in parts]
        memory_bytes = math.inf if budget.memory_bytes is None else budget.memory_bytes
        room = memory_bytes - _scratch_bytes(workload, budget)
        costs_tiles = _all_stay(groups, room) and not _all_stay(twice, room)
        if sum(group.fixed_bytes for group in twice) <= TWICE_SHARE * memory_bytes and not costs_tiles:
            return twice
        if len(parts) == 1 or sum(group.fixed_bytes for group in groups) <= FIXED_SHARE * memory_bytes:
            return groups
        parts[-2:] = [parts[-2] + parts[-1]]


def _group(workload: Workload, budget: Budget, part: Sequence[int], rings: int) -> _ChainNetworks:
    """Return the group of the networks of these first requests; all networks have `rings` rings."""
    tile_bytes = TILE_BYTES
    if budget.memory_bytes is not None:
        tile_bytes = max(PAGE, min(TILE_BYTES, int(RINGS_SHARE * budget.memory_bytes) // (RING_TILES * rings)))
    networks = first_requests(workload)
    uses, activations, ring_sizes, pinned = {}, [0], [0], dict[TileKey, int]()
    for first in part:
        like = max((r for r, f in enumerate(networks) if f == first), key=lambda r: workload.requests[r].steps)
        uses[first] = list(serve(workload, first, (like,), tile_bytes, budget.speeds, TILE_S))
        activations.append(activations_bytes(uses[first], workload))
        sizes = {use.key: use.size_bytes for use in uses[first] if use.has_place}
        if budget.memory_bytes is not None:
            own = _pinned(sizes, RING_TILES * tile_bytes)
            pinned |= own
            others = [size_bytes for key, size_bytes in sizes.items() if key not in own]
            ring_sizes.append(min(sum(others), max([RING_TILES * tile_bytes, *others])) // PAGE * PAGE)
    return _ChainNetworks(uses, pinned, max(activations), max(ring_sizes), *_answers(workload, budget, part))


def _scratch_bytes(workload: Workload, budget: Budget) -> int:
    """Return the memory to set aside for operators."""
    if budget.memory_bytes is None:
        return 0
    networks = (workload.requests[first].network for first in dict.fromkeys(first_requests(workload)))
    return scratch_bytes(networks, budget.memory_bytes)


def _all_stay(groups: Iterable[_ChainNetworks], room: float) -> bool:
    """Return whether all tiles can stay: in so much memory besides the rings, and in the ring of a single chain."""
    for group in groups:
        room -= group.fixed_bytes - sum(group.pinned.values()) - (group.ring_bytes if group.chains == 1 else 0)
        room -= sum({use.key: use.size_bytes for uses in group.uses.values() for use in uses if use.has_place}.values())
    return room >= 0


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


def _deadlines(workload: Workload) -> tuple[float, ...]:
    given = [request.deadline_s for request in workload.requests]
    longest_s = max(deadline_s for deadline_s in given if deadline_s is not None)
    return tuple(longest_s if deadline_s is None else deadline_s for deadline_s in given)


class _Server:
    """Adds the tasks of one request after the other in order of arrival, and knows which tiles stay."""

    def __init__(self, workload: Workload, budget: Budget) -> None:
        self._workload = workload
        self._networks = first_requests(workload)
        self._chains: dict[int, deque[_ChainState]] = {}  # the one that is used next comes first
        self._uses: dict[int, list[TileUse]] = {}
        self._pinned: set[TileKey] = set()
        groups, end, numbers = _grouped(workload, budget), 0, count()
        for group in groups:
            chains = deque[_ChainState]()
            for _ in range(group.chains):
                chains.append(_ChainState(next(numbers), Ring(end, end + group.ring_bytes)))
                end += group.ring_bytes
            self._uses |= group.uses
            self._pinned |= group.pinned.keys()
            self._chains |= dict.fromkeys(group.uses, chains)
        memory_bytes = math.inf if budget.memory_bytes is None else budget.memory_bytes
        room = memory_bytes - _scratch_bytes(workload, budget) - sum(group.fixed_bytes for group in groups)
        self._room = Room(room)
        self._answers = {
            first: deque[list[int]]([[]] * group.answers_ahead) for group in groups for first in group.uses
        }
        self._due_s: list[float] = []  # when requests are due, if those that they wait for are in time
        self._read_s: list[float] = []  # of the loads of each request, in all of its steps
        self._deadlines_s = _deadlines(workload)
        self._residents = Residents(self._demands(), room)
        self._kept: dict[TileKey, _Kept] = {}
        self._count = 0  # of loads, so that the lanes read equally many
        self._plan = Builder(
            workload,
            lanes=1 + len(READERS),
            order="deadline",
            deadlines_s=self._deadlines_s,
            arena_bytes=end,
        )

    def _demands(self) -> dict[int, Demand]:
        """Return the demand for each network, as if it was asked once before the first request."""
        longest_s = dict.fromkeys(self._uses, 0.0)
        steps = dict.fromkeys(self._uses, 1)
        for r, first in enumerate(self._networks):
            longest_s[first] = max(longest_s[first], self._deadlines_s[r])
            steps[first] = max(steps[first], self._workload.requests[r].steps)
        return {
            first: Demand([use for use in uses if use.key not in self._pinned], longest_s[first], steps[first])
            for first, uses in self._uses.items()
        }

    def done(self) -> Plan:
        """Return the plan; tiles that still stay are freed at its end."""
        for kept in self._kept.values():
            self._free(kept)
        for chain in {chain.number: chain for chains in self._chains.values() for chain in chains}.values():
            self._empty(chain)
        return self._plan.done(service_s=tuple(self._alone_s(r) for r in range(len(self._read_s))))

    def serve(self, r: int) -> None:
        """Add the tasks of request `r`: loads of the tiles that stay from now on, and then all of its steps."""
        request, first = self._workload.requests[r], self._networks[r]
        awaited = awaited_requests(request) | (set() if request.when is None else {request.when.request})
        self._due_s.append(max([request.arrival_s, *(self._due_s[a] for a in awaited)]) + self._deadlines_s[r])
        chain, uses = self._chains[first][0], self._uses[first]
        self._chains[first].rotate()
        coming: list[TileUse] = []
        if uses:
            self._residents.room_bytes -= request.network.answer_bytes
            going, coming = self._residents.ask(first, request.steps, request.arrival_s, self._due_s[r])
            for key in going:
                kept = self._kept.pop(key)
                self._room.give(self._free(kept), kept.use.size_bytes)
        self._answers[first].append(self._room.take(request.network.answer_bytes))
        after = (chain.last, *self._answers[first].popleft())
        init = chain.last = self._plan.add("init", r, after=after, lane=COMPUTE)
        self._read_s.append(0.0)
        if uses:
            self._load_kept(r, init, chain, coming)
            passing = [use for use in uses if use.has_place and use.key not in self._kept]
            if sum(use.size_bytes for use in passing) <= chain.ring.size_bytes:
                self._hold(r, init, chain, passing)
            else:
                self._empty(chain)
                if request.steps > 1:
                    chain.ring.rewind()  # so that tiles have the same places in each step
            with self._plan.loop(request.steps, overlapping=True) as loop:
                self._add_step(r, init, chain, uses, loop)

    def _alone_s(self, r: int) -> float:
        """Return the seconds that request `r` takes alone: of computing, or of its loads if they take longer."""
        exec_s = sum(use.exec_s for use in self._uses[self._networks[r]])
        return max(self._workload.requests[r].steps * exec_s, self._read_s[r])

    def _load_kept(self, r: int, init: int, chain: _ChainState, coming: Sequence[TileUse]) -> None:
        """Add the loads of the tiles that stay from now on; pinned ones have room of their own.

        A copy of them in the ring is freed.
        """
        for use in self._uses[self._networks[r]]:
            if use.key in self._pinned and use.key not in self._kept:
                self._keep(r, chain, use, (init,))
        for use in coming:
            self._keep(r, chain, use, (init, *self._room.take(use.size_bytes)))
        self._empty(chain, {chain.held[use.key][0] for use in coming if use.key in chain.held})

    def _keep(self, r: int, chain: _ChainState, use: TileUse, after: Iterable[int]) -> None:
        load = self._load(r, use, after)
        self._kept[use.key] = _Kept(r, load, r, {chain.number: load}, use)

    def _hold(self, r: int, init: int, chain: _ChainState, uses: Sequence[TileUse]) -> None:
        """Add the loads of tiles that fit in the ring together, and stay there until others take their places."""
        new = [use for use in uses if use.key not in chain.held]
        ring, gone = deepcopy(chain.ring), set[int]()
        for use in new:
            gone.update(ring.take(use.size_bytes, -1)[1])
        if -1 in gone or any(use.key in chain.held and chain.held[use.key][0] in gone for use in uses):
            self._empty(chain)
            chain.ring.rewind()
            new = [*uses]
        for use in new:
            place, taken = chain.ring.take(use.size_bytes, chain.count)
            self._empty(chain, taken)
            load = self._load(r, use, (init, *(chain.frees[other] for other in taken)), place)
            chain.held[use.key] = chain.count, _Kept(r, load, r, {chain.number: load}, use)
            chain.count += 1

    def _empty(self, chain: _ChainState, numbers: Container[int] | None = None) -> None:
        """Add the frees of the tiles that stay in the ring: of these uses, or of all."""
        for key, (number, kept) in [*chain.held.items()]:
            if numbers is None or number in numbers:
                del chain.held[key]
                chain.frees[number] = self._free(kept)

    def _add_step(self, r: int, init: int, chain: _ChainState, uses: Sequence[TileUse], loop: LoopBuilder) -> None:
        """Add a step of request `r`. In a loop, tiles have the same places in each step."""
        loads: list[tuple[int, int, TileUse]] = []  # of tiles that do not stay, with the numbers of their uses
        for use in uses:
            kept = self._kept.get(use.key) or chain.held.get(use.key, (0, None))[1]
            if kept is not None:
                kept.user = r
                kept.last[chain.number] = self._execute(r, init, chain, use, kept.load, kept.owner)
            else:
                load = self._pass(r, init, chain, use)
                loads.append((chain.count - 1, load, use))
        if self._workload.requests[r].steps > 1:
            ring = deepcopy(chain.ring)
            ring.rewind()
            begun = {number for number, _, _ in loads}
            for number, load, use in loads:
                for other in ring.take(use.size_bytes, -1 - number)[1] if use.has_place else ():
                    if other in begun:
                        loop.carry(load, chain.frees[other])

    def _pass(self, r: int, init: int, chain: _ChainState, use: TileUse) -> int:
        """Add the load, the exec and the free of a tile that does not stay; return the load."""
        place, gone = chain.ring.take(use.size_bytes, chain.count) if use.has_place else (None, [])
        steps = self._workload.requests[r].steps
        load = self._load(r, use, (init, *(chain.frees[other] for other in gone)), place, steps)
        step = self._execute(r, init, chain, use, load, r)
        chain.frees[chain.count] = self._plan.add("free", r, use.layer, after=step, lane=COMPUTE, tile=use.tile)
        chain.count += 1
        return load

    def _execute(self, r: int, init: int, chain: _ChainState, use: TileUse, load: int, owner: int) -> int:
        chain.last = self._plan.add(
            "exec",
            r,
            use.layer,
            after=(init, load, chain.last),
            lane=COMPUTE,
            tile=use.tile,
            weights_of=None if owner == r else owner,
        )
        return chain.last

    def _load(self, r: int, use: TileUse, after: Iterable[int | None], place: int | None = None, times: int = 1) -> int:
        """Add the load of a tile, which is carried out so many times; return it."""
        self._read_s[r] += times * use.read_s
        lane = READERS[self._count % len(READERS)]
        if use.steps > 1 and not use.has_place:
            lane = COMPUTE  # has nothing else to do for this request, and the readers may be busy with large tiles
        else:
            self._count += 1
        return self._plan.add("load", r, use.layer, after=after, lane=lane, tile=use.tile, place=place)

    def _free(self, kept: _Kept) -> int:
        """Add the free of a tile that stayed; return it."""
        weights_of = None if kept.owner == kept.user else kept.owner
        return self._plan.add(
            "free",
            kept.user,
            kept.use.layer,
            after=kept.last.values(),
            lane=COMPUTE,
            tile=kept.use.tile,
            weights_of=weights_of,
        )
