"""In which order units are loaded and executed, so that neither the disk nor the processors wait for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.policies.streaming.units import Chain, Unit

RINGS = tuple(size << 20 for size in (32, 64, 128, 256, 512))
"""How much may be read ahead. More than convolutions give time for is of no use, and taking memory costs time."""

TAKEN_BYTES_PER_S = 1e10
"""How fast memory is taken from the system, beside nominal speeds of a disk and a processor."""

WINDOWS = (1, 2, 3)
"""How many networks may be under way at once; each holds activations."""


def orders(chains: Sequence[Chain]) -> Iterator[list[Unit]]:
    """Yield orders worth comparing: as asked, and networks first that soon have much to read, mixed more or less."""
    yield [unit for chain in chains for unit in chain]
    if len(chains) > 1:
        for measure in (_lead_s, _exec_s, _service_s):
            arranged = sorted(chains, key=measure)
            for window in WINDOWS:
                yield merge(arranged, window)


def _exec_s(chain: Chain) -> float:
    return sum(unit.exec_s for unit in chain)


def _service_s(chain: Chain) -> float:
    return sum(unit.read_s + unit.exec_s for unit in chain)


def _lead_s(chain: Chain) -> float:
    """Return how far execution falls behind reading at most: what a network's convolutions cost before much is read."""
    lead = most = 0.0
    for unit in chain:
        lead += unit.exec_s - unit.read_s
        most = max(most, lead)
    return most


def merge(chains: Sequence[Chain], window: int) -> list[Unit]:
    """Return the units of `chains`, those of `window` chains mixed at a time.

    While there is more left to execute than the next unit takes to read, one is taken that is mostly reading, else one
    that is mostly executing; of several the one of the earlier chain.
    """
    waiting = [deque(chain) for chain in chains if chain]
    read_s = exec_s = 0.0  # when all that is taken has been read, and executed
    merged: list[Unit] = []
    while waiting:
        heads = waiting[:window]
        reading = [chain for chain in heads if chain[0].read_s >= chain[0].exec_s]
        executing = [chain for chain in heads if chain[0].read_s < chain[0].exec_s]
        has_time = bool(reading) and exec_s > read_s + reading[0][0].read_s
        chosen = (reading if has_time or not executing else executing)[0]
        unit = chosen.popleft()
        read_s += unit.read_s
        exec_s = max(exec_s, read_s) + unit.exec_s
        merged.append(unit)
        if not chosen:
            waiting.remove(chosen)
    return merged


def ends_s(units: Iterable[Unit], ring_bytes: int) -> Iterator[float]:
    """Yield when each unit is executed, if one is read after the other and no more than the ring holds ahead."""
    read_s = exec_s = 0.0
    held: deque[tuple[float, int]] = deque()  # when each unit that was read is executed, and its size
    held_bytes = 0
    for unit in units:
        while held and held_bytes + unit.size_bytes > ring_bytes:
            ended_s, size_bytes = held.popleft()
            held_bytes -= size_bytes
            read_s = max(read_s, ended_s)
        read_s += unit.read_s
        exec_s = max(exec_s, read_s) + unit.exec_s
        held.append((exec_s, unit.size_bytes))
        held_bytes += unit.size_bytes
        yield exec_s


def makespan_s(units: Iterable[Unit], ring_bytes: int) -> float:
    """Return when the last unit is executed."""
    return max(ends_s(units, ring_bytes), default=0.0)


def response_s(units: Sequence[Unit], ring_bytes: int) -> float:
    """Return the mean time at which a request is answered."""
    answered = {r: end_s for unit, end_s in zip(units, ends_s(units, ring_bytes), strict=True) for r in unit.requests}
    return sum(answered.values()) / max(1, len(answered))


def best_ring_bytes(units: Sequence[Unit], most_bytes: int) -> int:
    """Return how large a ring serves `units` best that has no more than `most_bytes`, but room for the largest one."""
    largest = max((unit.size_bytes for unit in units), default=0)
    most = max(largest, min(most_bytes, sum(unit.size_bytes for unit in units)) // PAGE * PAGE)
    sizes = [*(size for size in RINGS if largest <= size < most), min(most, RINGS[-1])]
    return max(largest, min(sizes, key=lambda size: makespan_s(units, size) + size / TAKEN_BYTES_PER_S))
