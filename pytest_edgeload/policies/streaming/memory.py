"""The memory of `stream`: the peak of activations, the tiles that are kept, and the place of each tile."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, takewhile

from pytest_edgeload.policies.parts import scratch_bytes
from pytest_edgeload.policies.streaming.uses import TileKey, TileUse
from pytest_edgeload.workload import Request, Workload

AHEAD, AHEAD_BYTES = 8, 16 << 20
"""How many requests, and bytes of inputs and state, are read before they are executed; one request of any size is."""


def appearance(uses: Sequence[TileUse]) -> list[int]:
    """Return the requests in the order in which they begin."""
    return list(dict.fromkeys(r for use in uses for r in use.requests))


def predecessors(order: Sequence[int], workload: Workload) -> dict[int, int]:
    """Return the request whose first exec must have ended before another reads its inputs, by the latter.

    Requests begin in `order`. The first ones wait for none.
    """
    sizes = [_begun_bytes(request) for request in workload.requests]
    found: dict[int, int] = {}
    first = ahead_bytes = 0  # of the requests from the first one on, none has been executed
    for position, r in enumerate(order):
        ahead_bytes += sizes[r]
        while position - first >= AHEAD or (ahead_bytes > AHEAD_BYTES and first < position):
            ahead_bytes -= sizes[order[first]]
            first += 1
        if first:
            found[r] = order[first - 1]
    return found


def _begun_bytes(request: Request) -> int:
    """Return the bytes of a request that has read its inputs, including the state of its steps."""
    return request.network.input_bytes + (request.network.kept_bytes if request.steps > 1 else 0)


def _beginnings(uses: Sequence[TileUse], workload: Workload) -> dict[int | None, list[int]]:
    """Return the requests that read their inputs when another has been executed first, by the latter.

    The requests of a loop, which is a stage, all begin before it.
    """
    order = appearance(uses)
    loops = {r: use.stage for use in uses if use.steps > 1 for r in use.requests}
    firsts = {loops[r]: r for r in reversed(order) if r in loops}
    awaited = predecessors(order, workload)
    found: dict[int | None, list[int]] = {}
    for r in order:
        at = awaited.get(r)
        if at in loops and loops[at] == loops.get(r):
            at = firsts[loops[at]]
        found.setdefault(at, []).append(r)
    return found


def activations_bytes(uses: Sequence[TileUse], workload: Workload) -> int:
    """Return the peak of activation bytes if `uses` are executed one after the other.

    The peak includes the copy of its weights that a convolution makes, and the requested rows of embeddings, which can
    be loaded as soon as a request has read its input. A request of several steps keeps inputs, and frees its state at
    the end.
    """
    requested_bytes = Counter[int]()
    for use in uses:
        if not use.has_place:
            requested_bytes.update(dict.fromkeys(use.requests, use.size_bytes))
    beginnings = _beginnings(uses, workload)
    held: dict[int, int] = {}
    kept_bytes = [each.network.kept_bytes if each.steps > 1 else 0 for each in workload.requests]

    def begin(at: int | None) -> int:
        """Let the requests that begin with request `at` read their inputs; return the bytes that they hold."""
        coming = beginnings.get(at, [])
        held.update((r, _begun_bytes(workload.requests[r])) for r in coming)
        return sum(held[r] + requested_bytes[r] for r in coming)

    peak = total = begin(None)
    started: set[int] = set()
    for use in uses:
        for r in use.requests:
            if r not in started:
                started.add(r)
                total += begin(r)
            peak = max(peak, total - held[r] + kept_bytes[r] + use.exec_bytes)
            left = use.left_bytes + (0 if use.ends_step else kept_bytes[r])
            total += left - held[r] - (0 if use.has_place else use.size_bytes)
            held[r] = left
    return peak


def room_bytes(uses: Sequence[TileUse], workload: Workload, memory_bytes: int) -> int:
    """Return the part of `memory_bytes` that is left for weights."""
    networks = {id(network): network for network in (workload.requests[use.requests[0]].network for use in uses)}
    scratch = scratch_bytes(networks.values(), memory_bytes)
    return max(0, memory_bytes - scratch - activations_bytes(uses, workload))


def kept(uses: Sequence[TileUse], room_bytes: int) -> dict[TileKey, int]:
    """Return the tiles that are kept from their first use to their last, and their sizes, at most `room_bytes`.

    Tiles that save the most time per byte go first. Each use but the first saves the part of the tile's reading that
    its execution cannot hide. Of tiles that save as much, those that are kept are spread evenly over the step, so that
    neither the disk nor the processors wait for long.
    """
    alike: dict[tuple[float, int], dict[TileKey, int]] = {}
    firsts = {use.key: use for use in reversed(uses)}
    for key, repeats in _repeats(uses).items():
        use = firsts[key]
        saved_s_per_byte = float(f"{repeats * _saved_s(use) / use.size_bytes:.6g}")
        alike.setdefault((saved_s_per_byte, repeats), {})[key] = use.size_bytes
    found: dict[TileKey, int] = {}
    left_bytes = room_bytes
    for worth in sorted(alike, reverse=True):
        chosen = {key: alike[worth][key] for key in _spread(alike[worth], left_bytes)}
        left_bytes -= sum(chosen.values())
        found |= chosen
    return found


def _repeats(uses: Sequence[TileUse]) -> dict[TileKey, int]:
    """Return how often tiles are used again, by tile in the order of their first uses; rows on request are not."""
    counts = Counter[TileKey]()
    for use in uses:
        counts[use.key] += use.steps if use.has_place and use.size_bytes else 0
    return {key: count - 1 for key, count in counts.items() if count > 1}


def places(sizes: Mapping[TileKey, int], uses: Sequence[TileUse], workload: Workload) -> dict[TileKey, int]:
    """Return the places of tiles of these sizes, which are kept, from 0 up without gaps.

    If all tiles that are used again are kept, their places do not depend on the order of the requests: then the plan of
    the next requests has them at the same places. Otherwise the tiles that are worth the most, and stay the longest,
    come first.
    """
    order = list(sizes)
    if sizes.keys() == _repeats(uses).keys():
        names = {key[0]: workload.requests[key[0]].network.name for key in sizes}
        order.sort(key=lambda key: (names[key[0]], *key[:2], key[2] if isinstance(key[2], tuple) else ()))
    return dict(zip(order, accumulate((sizes[key] for key in order), initial=0), strict=False))


def _saved_s(use: TileUse) -> float:
    """Return the seconds of a tile's reading that its execution cannot hide, in a loop in quarters of the reading.

    The layers of a decoder differ by a few percent, which counts for less than an even pace.
    """
    saved_s = max(0.0, use.read_s - use.exec_s)
    return saved_s if use.steps == 1 or not use.read_s else round(4 * saved_s / use.read_s) / 4 * use.read_s


def _spread(sizes: Mapping[TileKey, int], room_bytes: int) -> Iterator[TileKey]:
    """Yield tiles, of these sizes in order, that fill the room; up to each of them, the same share of all bytes."""
    total_bytes, passed_bytes, left_bytes = sum(sizes.values()), 0, max(0, room_bytes)
    others: list[TileKey] = []
    for key, size_bytes in sizes.items():
        passed_bytes += size_bytes
        behind_bytes = room_bytes * passed_bytes // total_bytes - (room_bytes - left_bytes)
        if size_bytes <= min(left_bytes, behind_bytes):
            left_bytes -= size_bytes
            yield key
        else:
            others.append(key)
    for key in others:
        if sizes[key] <= left_bytes:
            left_bytes -= sizes[key]
            yield key


class Ring:
    """Hands out places from `first` up to `end`, one after the other and then from the start again."""

    def __init__(self, first: int, end: int) -> None:
        self._first, self.end = first, end
        self._next = first
        self._occupied = deque[tuple[int, int, int]]()  # first byte, end and number of uses, around from the next place

    @property
    def size_bytes(self) -> int:
        """The bytes of all places together."""
        return self.end - self._first

    def rewind(self) -> None:
        """Hand out places from the start again."""
        ahead = sum(1 for _ in takewhile(lambda old: old[0] >= self._next, self._occupied))
        self._occupied.rotate(-ahead)
        self._next = self._first

    def take(self, size_bytes: int, number: int) -> tuple[int, list[int]]:
        """Return the place of use `number`, and the numbers of the uses that must be freed before it is loaded."""
        if self._next + size_bytes > self.end:
            self.rewind()
        place, occupied = self._next, self._occupied
        self._next = end = place + size_bytes
        gone: list[int] = []
        while occupied and place <= occupied[0][0] < end:
            _, last, old = occupied.popleft()
            gone.append(old)
            if last > end:
                occupied.appendleft((end, last, old))
        if size_bytes:
            occupied.append((place, end, number))
        return place, gone
