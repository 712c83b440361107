"""The plan of `stream` for requests with deadlines that arrive over time: each network has a chain and a ring.

The execs of a network are one chain. Networks wait for each other only in the lanes, in which deadlines decide, and
when a tile of one takes the memory of a tile of another. So an urgent request is served while a long one is read.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count

from pytest_edgeload.planning.plan import Budget, Builder, LoopBuilder, Plan
from pytest_edgeload.policies.streaming.chains import deadlines_s, fitting_in_rings, grouped, operators_bytes
from pytest_edgeload.policies.streaming.memory import Ring
from pytest_edgeload.policies.streaming.resident import Demand, Residents
from pytest_edgeload.policies.streaming.room import Room
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse, first_requests
from pytest_edgeload.workload import Workload, awaited_requests

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


class _Server:
    """Adds the tasks of one request after the other in order of arrival, and knows which tiles stay."""

    def __init__(self, workload: Workload, budget: Budget) -> None:
        self._workload = workload
        self._networks = first_requests(workload)
        self._chains: dict[int, deque[_ChainState]] = {}  # the one that is used next comes first
        self._uses: dict[int, list[TileUse]] = {}
        self._pinned: set[TileKey] = set()
        groups, end, numbers = grouped(workload, budget), 0, count()
        for group in groups:
            chains = deque[_ChainState]()
            for _ in range(group.chains):
                chains.append(_ChainState(next(numbers), Ring(end, end + group.ring_bytes)))
                end += group.ring_bytes
            self._uses |= group.uses
            self._pinned |= group.pinned.keys()
            self._chains |= dict.fromkeys(group.uses, chains)
        memory_bytes = math.inf if budget.memory_bytes is None else budget.memory_bytes
        room = memory_bytes - operators_bytes(workload, budget) - sum(group.fixed_bytes for group in groups)
        self._room = Room(room)
        self._answers = {
            first: deque[list[int]]([[]] * group.answers_ahead) for group in groups for first in group.uses
        }
        self._due_s: list[float] = []  # when requests are due, if those that they wait for are in time
        self._read_s: list[float] = []  # of the loads of each request, in all of its steps
        self._deadlines_s = deadlines_s(workload)
        self._residents = Residents(self._demands(), room, fitting_in_rings(groups))
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
