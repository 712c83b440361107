"""Functions that a worker calls to measure readers and swap; see `planning.machine_speeds`. No torch."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload.engine.memory import allocate, arena
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.tile import PAGE

_PATTERN_BYTES = 1 << 20
_RESIDENT_BYTES = (
    64 << 20
)  # of a lane, more than a processor's cache; loads go to one place after the other, as in an arena


class ReadProbe(NamedTuple):
    """Loads of `size_bytes` by one reader in `lanes` lanes at once.

    With `is_cached`, the page cache has the file. With `is_fresh`, each load allocates its memory.
    """

    reader: str
    size_bytes: int
    lanes: int
    is_cached: bool = False
    is_fresh: bool = False


def read_speeds(file: str, probes: Sequence[ReadProbe], max_s: float) -> list[float]:
    """Return the bytes per second of each probe, which reads parts of `file` for at most about `max_s` seconds."""
    return [_read_speed(Path(file), probe, max_s) for probe in probes]


def _read_speed(file: Path, probe: ReadProbe, max_s: float) -> float:
    _fill_cache(file) if probe.is_cached else _drop(file)
    per_lane_bytes = file.stat().st_size // probe.lanes // PAGE * PAGE
    room_bytes = probe.size_bytes + PAGE
    memories = [None if probe.is_fresh else _resident(max(room_bytes, _RESIDENT_BYTES)) for _ in range(probe.lanes)]
    reader = READERS[probe.reader](file)
    ready, bytes_per_s = threading.Barrier(probe.lanes), [0.0] * probe.lanes

    def lane(i: int) -> None:
        ready.wait()
        end_s = time.perf_counter() + max_s
        first, read_bytes, seconds, resident, place = i * per_lane_bytes, 0, 0.0, memories[i], 0
        for offset in range(first, first + per_lane_bytes - probe.size_bytes + 1, probe.size_bytes):
            into = None if resident is None else resident[place : place + room_bytes]
            place = place + room_bytes if resident is not None and place + 2 * room_bytes <= len(resident) else 0
            begin_s = time.perf_counter()
            memory = reader.read(offset, probe.size_bytes, into)
            seconds += time.perf_counter() - begin_s
            read_bytes += probe.size_bytes
            del memory  # which takes time that is not a load's
            if time.perf_counter() > end_s:
                break
        bytes_per_s[i] = read_bytes / seconds

    threads = [threading.Thread(target=lane, args=(i,)) for i in range(probe.lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader.close()
    return sum(bytes_per_s)


def swap_speed(size_bytes: int) -> tuple[float, float]:
    """Return the bytes per second of swapping out and in, in this process.

    It writes and touches `size_bytes`, which are more than its limit. The kernel's counters of the whole machine give
    the bytes that were swapped. Raises ValueError if nothing was.
    """
    memory = allocate(size_bytes)
    pattern = os.urandom(_PATTERN_BYTES)  # the kernel keeps pages of zeros without swap

    def write() -> None:
        for offset in range(0, size_bytes, _PATTERN_BYTES):
            memory[offset : offset + _PATTERN_BYTES] = pattern

    def read() -> None:
        _sum(memory, range(0, size_bytes, PAGE))

    out_bytes_per_s = _swapped("pswpout", write)
    read()  # writes the rest to swap, so that the next pass only reads
    in_bytes_per_s = _swapped("pswpin", read)
    return out_bytes_per_s, in_bytes_per_s


def _swapped(counter: str, do: Callable[[], None]) -> float:
    """Return the bytes per second that the kernel's `counter` of pages gains while `do` runs."""
    before = _pages(counter)
    seconds = _timed(do)
    swapped_bytes = (_pages(counter) - before) * PAGE
    if not swapped_bytes:
        raise ValueError("nothing was swapped")
    return swapped_bytes / seconds


def _pages(counter: str) -> int:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{counter} "))


def _timed(do: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    do()
    return time.perf_counter() - begin_s


def _touch(memory: mmap.mmap | memoryview) -> None:
    for offset in range(0, len(memory), PAGE):
        memory[offset] = 1


def _sum(memory: mmap.mmap, offsets: Sequence[int]) -> int:
    return sum(memory[offset] for offset in offsets)


def _resident(size_bytes: int) -> memoryview:
    memory = arena(size_bytes + PAGE)
    _touch(memory)
    return memory


def _drop(file: Path) -> None:
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _fill_cache(file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        buffer = bytearray(_PATTERN_BYTES)
        while opened.readinto(buffer):
            pass
