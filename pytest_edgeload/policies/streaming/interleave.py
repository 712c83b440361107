"""The order in which tiles are loaded and executed, so that neither the disk nor the processors wait for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.policies.streaming.uses import Chain, TileUse

RINGS = tuple(size << 20 for size in (32, 64, 128, 256, 512))
"""Sizes of the ring in bytes. A larger ring only costs time: convolutions are too short to read further ahead."""

ALLOCATED_BYTES_PER_S = 1e10
"""How fast the system provides memory, in proportion to the nominal speeds of the disk and the processor."""

WINDOWS = (1, 2, 3)
"""How many networks may be interleaved at a time; each of them holds activations."""


def orders(chains: Sequence[Chain]) -> Iterator[list[TileUse]]:
    """Yield candidate orders: first as requested, then sorted by several measures and interleaved in each window."""
    yield [use for chain in chains for use in chain]
    if len(chains) > 1:
        for measure in (_lead_s, _exec_s, _service_s):
            by_measure = sorted(chains, key=measure)
            for window in WINDOWS:
                yield merge(by_measure, window)


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


def merge(chains: Sequence[Chain], window: int) -> list[TileUse]:
    """Return the uses of all chains in one order, interleaving at most `window` chains at a time.

    If the remaining execution takes longer than the next read, the next use is one that is mostly reading, otherwise
    one that is mostly executing. Ties go to the earlier chain.
    """
    waiting = [deque(chain) for chain in chains if chain]
    read_s = exec_s = 0.0  # the times at which the uses so far have been read and executed
    merged: list[TileUse] = []
    while waiting:
        heads = waiting[:window]
        reading = [chain for chain in heads if chain[0].read_s >= chain[0].exec_s]
        executing = [chain for chain in heads if chain[0].read_s < chain[0].exec_s]
        has_time = bool(reading) and exec_s > read_s + reading[0][0].read_s
        chain = (reading if has_time or not executing else executing)[0]
        use = chain.popleft()
        read_s += use.read_s
        exec_s = max(exec_s, read_s) + use.exec_s
        merged.append(use)
        if not chain:
            waiting.remove(chain)
    return merged


def ends_s(uses: Iterable[TileUse], ring_bytes: int) -> Iterator[float]:
    """Yield the time at which each use has been executed; reads are sequential and at most a ring ahead."""
    read_s = exec_s = 0.0
    ring: deque[tuple[float, int]] = deque()  # the uses in the ring: the end of their execution, and their size
    held_bytes = 0
    for use in uses:
        while ring and held_bytes + use.size_bytes > ring_bytes:
            end_s, size_bytes = ring.popleft()
            held_bytes -= size_bytes
            read_s = max(read_s, end_s)
        read_s += use.read_s
        exec_s = max(exec_s, read_s) + use.exec_s
        ring.append((exec_s, use.size_bytes))
        held_bytes += use.size_bytes
        yield exec_s


def makespan_s(uses: Iterable[TileUse], ring_bytes: int) -> float:
    """Return the time at which the last use has been executed."""
    return max(ends_s(uses, ring_bytes), default=0.0)


def response_s(uses: Sequence[TileUse], ring_bytes: int) -> float:
    """Return the mean time at which requests are answered."""
    answers_s = {r: end_s for use, end_s in zip(uses, ends_s(uses, ring_bytes), strict=True) for r in use.requests}
    return sum(answers_s.values()) / max(1, len(answers_s))


def best_ring_bytes(uses: Sequence[TileUse], max_bytes: int) -> int:
    """Return the best size of the ring for `uses`, at most `max_bytes` unless the largest tile needs more."""
    largest = max((use.size_bytes for use in uses), default=0)
    limit = max(largest, min(max_bytes, sum(use.size_bytes for use in uses)) // PAGE * PAGE)
    sizes = [*(size for size in RINGS if largest <= size < limit), min(limit, RINGS[-1])]
    return max(largest, min(sizes, key=lambda size: makespan_s(uses, size) + size / ALLOCATED_BYTES_PER_S))
