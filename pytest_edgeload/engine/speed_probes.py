"""Functions that a worker calls to measure readers, fresh memory and swap; see `planning.machine_speeds`. No torch."""

from __future__ import annotations

import mmap
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload.engine.memory import allocate, arena
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.tile import PAGE

_FRESH_BYTES, _FRESH_ROUNDS = 128 << 20, 3  # more than a processor's cache, which would keep the zeroed pages
_PATTERN_BYTES = 1 << 20
_SWAP_ROUNDS = 3


class ReadProbe(NamedTuple):
    """Loads of `size_bytes` by one reader in `lanes` lanes at once. With `is_cached`, the page cache has the file."""

    reader: str
    size_bytes: int
    lanes: int
    is_cached: bool


def read_speeds(file: str, probes: Sequence[ReadProbe], max_s: float) -> list[float]:
    """Return the bytes per second of each probe, which reads parts of `file` for at most about `max_s` seconds."""
    return [_read_speed(Path(file), probe, max_s) for probe in probes]


def _read_speed(file: Path, probe: ReadProbe, max_s: float) -> float:
    _fill_cache(file) if probe.is_cached else _drop(file)
    per_lane_bytes = file.stat().st_size // probe.lanes // PAGE * PAGE
    buffers = [_resident(probe.size_bytes + PAGE) for _ in range(probe.lanes)]
    reader = READERS[probe.reader](file)
    ready, read_bytes = threading.Barrier(probe.lanes + 1), [0] * probe.lanes

    def lane(i: int) -> None:
        ready.wait()
        end_s = time.perf_counter() + max_s
        first = i * per_lane_bytes
        for offset in range(first, first + per_lane_bytes - probe.size_bytes + 1, probe.size_bytes):
            reader.read(offset, probe.size_bytes, buffers[i])
            read_bytes[i] += probe.size_bytes
            if time.perf_counter() > end_s:
                break

    threads = [threading.Thread(target=lane, args=(i,)) for i in range(probe.lanes)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin_s = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin_s
    reader.close()
    return sum(read_bytes) / seconds


def fresh_s_per_page() -> float:
    """Return the median seconds per page of writing to memory that was never used, allocated as weights are."""
    seconds = []
    for _ in range(_FRESH_ROUNDS):
        with allocate(_FRESH_BYTES) as memory:
            seconds.append(_timed(partial(_touch, memory)))
    return statistics.median(seconds) * PAGE / _FRESH_BYTES


def swap_speed(size_bytes: int) -> tuple[float, float]:
    """Return the bytes per second of swapping out and in, in this process.

    It writes and touches `size_bytes`, which are more than its limit, some times, and returns the medians. The pages
    are small, like those of an interpreter, which are swapped out before weights; huge ones are quicker. The kernel's
    counters of the whole machine give the bytes that were swapped. Raises ValueError if nothing was.
    """
    rounds = [_swap_round(size_bytes) for _ in range(_SWAP_ROUNDS)]
    return statistics.median(out for out, _ in rounds), statistics.median(back for _, back in rounds)


def _swap_round(size_bytes: int) -> tuple[float, float]:
    """Return both speeds of one round, in memory of its own."""
    pattern = os.urandom(_PATTERN_BYTES)  # the kernel keeps pages of zeros without swap
    with _small_pages(size_bytes) as memory:

        def write() -> None:
            for offset in range(0, size_bytes, _PATTERN_BYTES):
                memory[offset : offset + _PATTERN_BYTES] = pattern

        def read() -> None:
            _sum(memory, range(0, size_bytes, PAGE))

        out_bytes_per_s = _swapped("pswpout", write)
        read()  # writes the rest to swap, so that the next pass only reads
        return out_bytes_per_s, _swapped("pswpin", read)


def _small_pages(size_bytes: int) -> mmap.mmap:
    """Return private memory without huge pages, which a kernel with the setting `always` gives without being asked."""
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel built without huge pages does not know this advice
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


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
