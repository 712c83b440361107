"""Which tiles stay in memory from request to request, chosen by the requests so far. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_edgeload.policies.streaming.uses import TileKey, TileUse

HIDDEN = 0.1
"""The part of a read that counts even if computing hides it: meanwhile the disk cannot serve other networks."""

GAIN = 1.5
"""A tile takes the place of another only if it is worth so many times as much. Otherwise networks that are asked
equally often would take turns."""

GOLDEN_RATIO = (5**0.5 - 1) / 2
"""The fractional parts of its multiples are spread evenly, however many there are."""


@dataclass(slots=True)
class Demand:
    """A network: its tiles, the deadline of its requests, and how often it was asked; a request of n steps counts n.

    `due_s` is the time at which the last request is due. `asked` begins with one request.
    """

    uses: Sequence[TileUse]
    deadline_s: float
    asked: int
    due_s: float = 0.0

    def per_s(self, now_s: float) -> float:
        """Return how often the network is asked per second: once per deadline, until more is known."""
        return self.asked / (now_s + self.deadline_s)


class Residents:
    """The tiles that stay, in at most `room_bytes`, which may shrink. `demands` has all networks by first request.

    The worth of a tile is the time that it saves per byte: how often its network is asked, times the part of its
    reading that computing does not hide. Tiles of `in_rings` fit in rings. They are left to the rings as long as all
    others can stay because of that.
    """

    def __init__(
        self, demands: Mapping[int, Demand], room_bytes: float, in_rings: Collection[TileKey] = frozenset()
    ) -> None:
        self.room_bytes = room_bytes
        self._demands = demands
        self._uses: dict[TileKey, TileUse] = {}
        self._held_bytes = 0
        sizes = {use.key: use.size_bytes for each in demands.values() for use in each.uses if use.has_place}
        self._in_rings = in_rings
        self._all_bytes = sum(sizes.values())
        self._others_bytes = self._all_bytes - sum(sizes[key] for key in in_rings)

    def ask(self, network: int, steps: int, now_s: float, due_s: float) -> tuple[list[TileKey], list[TileUse]]:
        """Let a network be asked at `now_s`; return the tiles that go, and those that come, in the order of uses.

        Tiles of networks with a request that is due later do not go, unless the room has shrunk: otherwise an urgent
        request would wait for one that is not.
        """
        demand = self._demands[network]
        demand.asked += steps
        ranked = self._ranked(now_s)
        chosen = self._chosen(ranked)
        leaving = [use for use in reversed(ranked) if use.key in self._uses and use.key not in chosen]
        leaving.sort(key=lambda use: self._demands[use.key[0]].due_s > due_s)
        going: list[TileKey] = []
        coming: set[TileKey] = set()
        for use in (use for use in ranked if use.key in chosen and use.key not in self._uses and use.key[0] == network):
            going += self._leave(leaving, use.size_bytes, due_s)
            if self._held_bytes + use.size_bytes <= self.room_bytes:
                self._uses[use.key] = use
                self._held_bytes += use.size_bytes
                coming.add(use.key)
        going += self._leave(leaving, 0, math.inf)
        demand.due_s = max(demand.due_s, due_s)
        return going, [use for use in demand.uses if use.key in coming]

    def _leave(self, leaving: list[TileUse], size_bytes: int, due_s: float) -> Iterator[TileKey]:
        """Drop and yield the first of `leaving` until so many bytes fit, if their networks are due by `due_s`."""
        while leaving and self._held_bytes + size_bytes > self.room_bytes:
            if self._demands[leaving[0].key[0]].due_s > due_s:
                return
            use = leaving.pop(0)
            self._held_bytes -= use.size_bytes
            yield self._uses.pop(use.key).key

    def _ranked(self, now_s: float) -> list[TileUse]:
        """Return all tiles that could stay, the one of the most worth first; those of equal worth are spread."""
        ranked: list[tuple[float, float, TileUse]] = []
        for demand in self._demands.values():
            per_s = demand.per_s(now_s)
            for number, use in enumerate(demand.uses):
                if use.has_place:
                    saved_s = max(HIDDEN * use.read_s, use.read_s - use.exec_s) * (GAIN if use.key in self._uses else 1)
                    ranked.append((-per_s * saved_s / max(1, use.size_bytes), number * GOLDEN_RATIO % 1, use))
        return [use for _, _, use in sorted(ranked, key=lambda entry: entry[:2])]

    def _chosen(self, ranked: Sequence[TileUse]) -> set[TileKey]:
        """Return the first tiles that fit in the room together."""
        chosen: set[TileKey] = set()
        left_bytes = self.room_bytes
        elsewhere = self._in_rings if self._others_bytes <= self.room_bytes < self._all_bytes else ()
        for use in ranked:
            if use.size_bytes <= left_bytes and use.key not in elsewhere:
                left_bytes -= use.size_bytes
                chosen.add(use.key)
        return chosen
