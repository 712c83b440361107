"""Runs that overlap: the files that exclude each other, the figures that neighbours disturb, and repeated runs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from pytest_edgeload.base import files, kernel_text
from pytest_edgeload.results.measurement import METRICS, Measurement
from pytest_edgeload.results.sharing import Sharing
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import cores_of
from pytest_edgeload.sandbox.sharing import SharedMachine, room_of
from pytest_edgeload.sandbox.swap import Swap

_MIN_BYTES = 1 << 20  # a smaller file is read in no time, with or without the page cache
_MAX_PAIRS, _RUNS_PER_PAIR = 3, 8


def host_room(cap: Cap, swap: Swap, *, by_cpuset: bool = True) -> SharedMachine:
    """Return this machine as runs share it, without the memory that other programs use. Raises Unsupported."""
    memory = [int(limit.value) for limit in cap.outer().limits if limit.resource == "memory_bytes"]
    return room_of(
        min([psutil.virtual_memory().available, *memory]),
        swap.size_bytes if swap.usable else 0,
        physical_first(cores_of(os.cpu_count() or 1), _siblings),
        swap_is_memory=swap.kind == "zram",
        by_cpuset=by_cpuset,
    )


def physical_first(cores: Iterable[int], siblings: Callable[[int], str]) -> tuple[int, ...]:
    """Return the cores so that runs share a physical core last: those that are the second thread of one come behind.

    `siblings` returns the threads of a core's physical core as the kernel lists them: `0,4` or `0-1`, empty if unknown.
    """

    def is_second(core: int) -> bool:
        first = re.match(r"\d+", siblings(core))
        return first is not None and int(first[0]) != core

    return tuple(sorted(cores, key=lambda core: (is_second(core), core)))


def _siblings(core: int) -> str:
    try:
        return kernel_text.read(Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"))
    except OSError:
        return ""


def identities(paths: Iterable[Path]) -> frozenset[str]:
    """Return the device and inode of each of these files that is not small; a folder is not a file."""
    found = set()
    for path in paths:
        with suppress(OSError):  # whoever reads it says so
            status = path.stat()
            if stat.S_ISREG(status.st_mode) and status.st_size >= _MIN_BYTES:
                found.add(f"{status.st_dev}:{status.st_ino}")
    return frozenset(found)


def without_machine_totals(measurement: Measurement, sharing: Sharing) -> Measurement:
    """Return the measurement of a run next to others, without the totals of the machine, which include the others."""
    totals = {name for name in measurement.machine_wide if name in METRICS}
    totals |= {"energy_j", "idle_power_w", "others_cpu_s"}
    return msgspec.structs.replace(measurement, sharing=sharing, machine_wide=(), **dict.fromkeys(totals))


@dataclass(frozen=True, slots=True)
class Overlap:
    """The room that the runs of a session share, and the session's folder, with the folder of its measurements."""

    room: SharedMachine
    session: Path
    runs: Path

    def take_pair(self) -> bool:
        """Return whether to repeat a run alone that was next to others. Only one process gets each such pair.

        A session has three: the first one at once, the others after 8 and 16 runs, so that small sessions stay quick.
        """
        over = sum(1 for _ in self.runs.glob("*.json"))
        for number in range(min(_MAX_PAIRS, 1 + over // _RUNS_PER_PAIR)):
            with suppress(OSError):  # it exists, or the folder is gone: a pair is not worth a measured run
                files.create(self.session / f"pair-{number}", files.OURS).close()
                return True
        return False
