"""The order in which tiles are loaded and executed, so that neither the disk nor the processors wait for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.policies.streaming.memory import Ring
from pytest_edgeload.policies.streaming.uses import Chain, TileUse

RINGS = tuple(size << 20 for size in (32, 64, 128, 256, 512))
"""Sizes of the ring in bytes. A larger ring only costs time: convolutions are too short to read further ahead."""

ALLOCATED_BYTES_PER_S = 1e10
"""How fast the system provides memory, in proportion to the nominal speeds of the disk and the processor."""

AHEAD_BYTES = 128 << 20
"""How far ahead of execution networks are interleaved, even if there is more memory: large tiles of one network that
are read while another computes for long only take memory until they are executed."""

WINDOWS = (1, 2, 3)
"""How many networks may be interleaved at a time; each of them holds activations."""


def orders(chains: Sequence[Chain], ring_bytes: int) -> Iterator[list[TileUse]]:
    """Yield candidate orders: first as requested, then sorted by several measures and interleaved in each window.

    `ring_bytes` is the memory that the uses are expected to have.
    """
    numbers = tuple(range(len(chains)))
    found = {(numbers, 1): None}  # in order, each once: networks are often in the same order by several measures
    for measure in (_lead_s, _exec_s, _service_s):
        measured = [measure(chain) for chain in chains]
        by_measure = tuple(sorted(numbers, key=measured.__getitem__))
        found |= {(by_measure, min(window, len(chains))): None for window in WINDOWS if chains}
    for order, window in found:
        yield merge([chains[number] for number in order], window, ring_bytes)


def _exec_s(chain: Chain) -> float:
    return sum(use.exec_s for use in chain)


def _service_s(chain: Chain) -> float:
    return sum(use.read_s + use.exec_s for use in chain)


def _lead_s(chain: Chain) -> float:
    """Return the largest lead of reading over execution: mostly the convolutions before a network's large reads."""
    lead = max_lead = 0.0
    for use in chain:
        lead += use.exec_s - use.read_s
        max_lead = max(max_lead, lead)
    return max_lead


def merge(chains: Sequence[Chain], window: int, ring_bytes: int) -> list[TileUse]:
    """Return the uses of all chains in one order, interleaving at most `window` chains at a time.

    If the remaining execution takes longer than the next read, the next use is one that is mostly reading, otherwise
    one that is mostly executing. Ties go to the earlier chain.
    """
    waiting = [deque(chain) for chain in chains if chain]
    flow = _Flow(ring_bytes)
    merged: list[TileUse] = []
    while waiting:
        heads = waiting[:window]
        reading = [chain for chain in heads if chain[0].read_s >= chain[0].exec_s]
        executing = [chain for chain in heads if chain[0].read_s < chain[0].exec_s]
        has_time = bool(reading) and flow.exec_s > flow.read_end_s(reading[0][0])
        chain = (reading if has_time or not executing else executing)[0]
        use = chain.popleft()
        flow.add(use)
        merged.append(use)
        if not chain:
            waiting.remove(chain)
    return merged


class _Flow:
    """The times at which the uses so far have been read and executed; reads are sequential and at most a ring ahead."""

    def __init__(self, ring_bytes: int) -> None:
        self.exec_s = 0.0
        self._read_s = 0.0
        self._left_bytes = ring_bytes
        self._ring: deque[tuple[float, int]] = deque()  # the end of the execution of each use in it, and its size

    def add(self, use: TileUse) -> None:
        """Read and execute a use after all others."""
        self._read_s = self.read_end_s(use)
        while self._ring and self._left_bytes < use.size_bytes:
            self._left_bytes += self._ring.popleft()[1]
        self.exec_s = max(self.exec_s, self._read_s) + use.exec_s
        self._ring.append((self.exec_s, use.size_bytes))
        self._left_bytes -= use.size_bytes

    def read_end_s(self, use: TileUse) -> float:
        """Return the time at which this use would have been read if it were the next one."""
        left_bytes, start_s = self._left_bytes, self._read_s
        for end_s, size_bytes in self._ring:
            if left_bytes >= use.size_bytes:
                break
            left_bytes += size_bytes
            start_s = max(start_s, end_s)
        return start_s + use.read_s


def ends_s(uses: Iterable[TileUse], ring_bytes: int) -> Iterator[float]:
    """Yield the time at which each use has been executed; one is read at a time, when it has its place in the ring.

    Uses of no bytes need no place in the ring. They are read while others wait for theirs.
    """
    ring, read_end_s, idle_s, ends = Ring(0, ring_bytes), 0.0, 0.0, [0.0]
    for number, use in enumerate(uses, 1):
        if use.size_bytes:
            gone = ring.take(use.size_bytes, number)[1]
            start_s = max([read_end_s, *(ends[other] for other in gone)])
            idle_s += start_s - read_end_s
            read_end_s = start_s + use.read_s
        else:
            early_s = min(idle_s, use.read_s)
            idle_s -= early_s
            read_end_s += use.read_s - early_s
        ends.append(max(ends[-1], read_end_s) + use.exec_s)
        yield ends[-1]


def makespan_s(uses: Iterable[TileUse], ring_bytes: int) -> float:
    """Return the time at which the last use has been executed."""
    return max(ends_s(uses, ring_bytes), default=0.0)


def durations_s(uses: Sequence[TileUse], ring_bytes: int) -> tuple[float, float]:
    """Return the time at which the last request is answered, and the mean time at which requests are."""
    answers_s: dict[int, float] = {}
    for use, end_s in zip(uses, ends_s(uses, ring_bytes), strict=True):
        answers_s.update(dict.fromkeys(use.requests, end_s))
    return max(answers_s.values(), default=0.0), sum(answers_s.values()) / max(1, len(answers_s))


def best_ring_bytes(uses: Sequence[TileUse], max_bytes: int) -> int:
    """Return the best size of the ring for `uses`, at most `max_bytes` unless the largest tile needs more."""
    largest = max((use.size_bytes for use in uses), default=0)
    limit = max(largest, min(max_bytes, sum(use.size_bytes for use in uses)) // PAGE * PAGE)
    sizes = [*(size for size in RINGS if largest <= size < limit), min(limit, RINGS[-1])]
    return max(largest, min(sizes, key=lambda size: makespan_s(uses, size) + size / ALLOCATED_BYTES_PER_S))
