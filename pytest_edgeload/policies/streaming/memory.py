"""What `stream` holds: how much activations take at most, which tiles stay, and where each unit goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from pytest_edgeload.networks.tile import left_bytes, working_bytes
from pytest_edgeload.policies.streaming.units import Tile, Unit
from pytest_edgeload.workload import Workload

AHEAD = 8
"""How many requests read their inputs before they are executed."""

SCRATCH_BYTES = 24 << 20
"""What operators take beside weights and activations: up to 30 MiB where VGG-19 and two AlexNets take turns."""


def appearance(units: Sequence[Unit]) -> list[int]:
    """Return the requests in the order in which they begin."""
    return list(dict.fromkeys(r for unit in units for r in unit.requests))


def activations_bytes(units: Sequence[Unit], workload: Workload) -> int:
    """Return the most bytes of activations that live when `units` are executed one after the other.

    With them counts what a convolution takes beside, its weights in the layout it computes in; and the rows that a
    request asks for, which can be loaded when it has read its input.
    """
    requests = appearance(units)
    asked = Counter[int]()
    for unit in units:
        if not unit.has_place:
            asked.update(dict.fromkeys(unit.requests, unit.size_bytes))
    to_come = iter(requests)
    held: dict[int, int] = {}

    def begin(count: int) -> int:
        """Let so many more requests read their inputs; return the bytes that they hold."""
        coming = list(islice(to_come, count))
        held.update((r, workload.requests[r].network.input_bytes) for r in coming)
        return sum(held[r] + asked[r] for r in coming)

    most = total = begin(AHEAD)
    begun: set[int] = set()
    for unit in units:
        for r in unit.requests:
            if r not in begun:
                begun.add(r)
                total += begin(1)
            layer = workload.requests[r].network.layers[unit.layer]
            beside = unit.size_bytes if layer.is_convolution else 0
            most = max(most, total - held[r] + working_bytes(layer, unit.rows) + beside)
            left = left_bytes(layer, unit.rows)
            total += left - held[r] - (0 if unit.has_place else unit.size_bytes)
            held[r] = left
    return most


def room_bytes(units: Sequence[Unit], workload: Workload, memory_bytes: int) -> int:
    """Return what is left of `memory_bytes` for weights; what operators take beside is at most a quarter of it."""
    scratch = min(SCRATCH_BYTES, memory_bytes // 4)
    return max(0, memory_bytes - scratch - activations_bytes(units, workload))


def kept(units: Sequence[Unit], room_bytes: int) -> dict[Tile, int]:
    """Return the tiles that stay from their first use to their last, and their places, from 0 up to `room_bytes`.

    Those go first that save most time for a byte: each use but the first saves the part of their reading that executing
    them cannot hide.
    """
    uses = Counter(unit.tile for unit in units if unit.has_place)
    worth: dict[Tile, tuple[float, int]] = {}
    for unit in units:
        if uses[unit.tile] > 1 and unit.size_bytes:
            again = uses[unit.tile] - 1
            saved_s = again * max(0.0, unit.read_s - unit.exec_s)
            worth.setdefault(unit.tile, (saved_s / unit.size_bytes, again))
    sizes = {unit.tile: unit.size_bytes for unit in units}
    places: dict[Tile, int] = {}
    position = 0
    for tile in sorted(worth, key=lambda tile: worth[tile], reverse=True):
        if position + sizes[tile] <= room_bytes:
            places[tile] = position
            position += sizes[tile]
    return places


class Ring:
    """Places one after the other, from `first` up to `end` and round again; what was there must be free before."""

    def __init__(self, first: int, end: int) -> None:
        self._first, self.end = first, end
        self._next = first
        self._held: list[tuple[int, int, int]] = []  # first byte, end, and a number

    def take(self, size_bytes: int, number: int) -> tuple[int, list[int]]:
        """Return the place for a unit known by `number`, and the numbers of those whose place it takes."""
        place = self._next if self._next + size_bytes <= self.end else self._first
        end = place + size_bytes
        gone = [held for held in self._held if held[0] < end and place < held[1]]
        rest = [part for first, last, of in gone for part in ((first, place, of), (end, last, of)) if part[0] < part[1]]
        self._held = [*(held for held in self._held if held not in gone), *rest, (place, end, number)]
        self._next = end
        return place, [number for _, _, number in gone]
