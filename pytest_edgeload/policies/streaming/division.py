"""The division of the memory for weights: tiles that are kept, and a ring through which all others pass. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from pytest_edgeload.policies.streaming.interleave import best_ring_bytes, makespan_s
from pytest_edgeload.policies.streaming.memory import kept
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse

PASSING_BYTES = 64 << 20
"""Memory that is reserved for tiles that are not kept, unless less of it takes less time."""

MIN_PASSING_TILES = 2
"""The least memory for them holds so many: one is read while one is executed."""

PASSING_TILES = 4
"""The same if all requests are loops, in tiles: two are read, one waits, and one is executed. A loop reads the rest of
the weights in each step, at an even pace, so that more places would only leave less memory for tiles that are kept."""


class Division(NamedTuple):
    """A division of the memory for weights: the tiles that are kept, with their sizes, and the bytes of the ring."""

    sizes: Mapping[TileKey, int]
    ring_bytes: int

    @property
    def kept_bytes(self) -> int:
        """The bytes of the tiles that are kept."""
        return sum(self.sizes.values())

    def passing(self, uses: Iterable[TileUse]) -> Iterator[TileUse]:
        """Yield the uses, each with the bytes that it has in the ring."""
        return (replace(use, size_bytes=0) if use.key in self.sizes else use for use in uses)


def divided(uses: Sequence[TileUse], room: int) -> Division:
    """Return the division of so many bytes with which the uses take the shortest time.

    A larger ring holds more reads during a long execution, and leaves less memory for tiles that are kept.
    """
    found = [_divided_by(uses, room, passing_bytes) for passing_bytes in _passing_sizes(uses, room)]
    return found[0] if len(found) == 1 else min(found, key=lambda division: _stages_s(uses, division))


def _divided_by(uses: Sequence[TileUse], room: int, passing_bytes: int) -> Division:
    """Return the division that reserves so much memory for tiles that are not kept."""
    sizes = kept(uses, room - passing_bytes)
    others = {use.key: use for use in uses if use.has_place and use.key not in sizes}
    return Division(sizes, best_ring_bytes([*others.values()], room - sum(sizes.values())))


def _passing_sizes(uses: Sequence[TileUse], room: int) -> Iterator[int]:
    """Yield sizes of the memory to reserve for tiles that are not kept, the usual one first."""
    sizes = {use.key: use.size_bytes for use in uses if use.has_place}
    if room == sum(sizes.values()):
        yield 0
        return
    largest = max(sizes.values())
    is_loop = all(use.steps > 1 for use in uses)
    size = min(PASSING_BYTES, room // 2, PASSING_TILES * largest if is_loop else PASSING_BYTES)
    yield max(largest, size)
    if len(sizes) < len(uses) and all(use.steps == 1 for use in uses):
        while (size := size // 2) >= MIN_PASSING_TILES * largest:
            yield size


def _stages_s(uses: Sequence[TileUse], division: Division) -> float:
    """Return the time of all stages if each begins when the one before is over."""
    passing = division.passing(read_once(uses, division.sizes))
    return sum(makespan_s(stage, division.ring_bytes) for _, stage in groupby(passing, key=lambda use: use.stage))


def read_once(uses: Iterable[TileUse], staying: Container[TileKey]) -> Iterator[TileUse]:
    """Yield the uses; those of tiles that stay take no time to read, except the first of each tile."""
    begun: set[TileKey] = set()
    for use in uses:
        yield replace(use, read_s=0.0) if use.key in begun else use
        if use.key in staying:
            begun.add(use.key)
