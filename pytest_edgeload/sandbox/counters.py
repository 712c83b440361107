"""The kernel's figures about a process, a group and the machine, read from /proc.

Sources: proc(5), Documentation/admin-guide/cgroup-v2.rst, Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict, cast

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LATE_BYTES = 2 * 64 * PAGE_BYTES * (os.cpu_count() or 1)
"""The memory of a group that the kernel may count late: each processor counts up to 64 pages by itself, and charges as
many in advance; see MEMCG_CHARGE_BATCH."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STATUS = re.compile(rb"^(VmHWM|VmRSS|RssAnon|RssFile|RssShmem|VmSwap):\s+(\d+) kB", re.MULTILINE)
_PARTS = 6
_LIVE_BYTES = 16384
# Fields of `stat`: of the process, and of the children that it waited for.
_MINOR, _MAJOR, _CPU = (7, 8), (9, 10), (11, 12, 13, 14)


class Totals(TypedDict, total=False):
    """Running totals of a process, a group or the machine, by metric, and a group's marks.

    The kernel does not report an absent one.
    """

    minor_faults: int
    major_faults: int
    cpu_s: float
    read_bytes: int
    swap_in_bytes: int
    swap_out_bytes: int
    stall_s: float
    refaults: int
    peak_charged_bytes: int
    kernel_bytes: int
    oom_kills: int
    fork_refusals: int
    max_processes: int


_MARKS = {"peak_charged_bytes", "kernel_bytes", "oom_kills", "fork_refusals", "max_processes"}
"""The entries of a group that are valid since its start, so that their growth means nothing."""


def growth(before: Totals, after: Totals) -> Totals:
    """Return the growth of each running total that is known at both times and did not run backwards."""
    old, new = cast("Mapping[str, float]", before), cast("Mapping[str, float]", after)
    grown = {name: new[name] - old[name] for name in old.keys() & new.keys() - _MARKS}
    return cast("Totals", {name: value for name, value in grown.items() if value >= 0})


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use at one moment: anonymous, file-backed (page cache or mapped files), and in swap.

    Shared memory and files in memory (tmpfs) count as anonymous: only swap or their removal frees them.
    """

    anon: int
    file: int
    swap: int


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident memory of a process now, its high-water mark, and its parts."""

    now: int
    highest: int
    memory: Memory


def flat(text: str) -> dict[str, int]:
    """Return the entries of a kernel file of lines `name number`. Raises ValueError."""
    return {name: int(value) for name, value in (line.split()[:2] for line in text.splitlines())}


class Live:
    """A kernel file that is read many times. It stays open, which makes each read several times cheaper."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = None
        with suppress(FileNotFoundError):
            self._file = path.open("rb", buffering=0)

    def read(self) -> bytes:
        """Return the present content of the file; empty once its process or group is gone."""
        try:
            return b"" if self._file is None else os.pread(self._file.fileno(), _LIVE_BYTES, 0)
        except OSError:
            return b""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def resident(status: bytes) -> Resident | None:
    """Return the resident memory in the text of a /proc/PID/status; None once the process is gone."""
    sizes = {name: int(size) * 1024 for name, size in _STATUS.findall(status)}
    if len(sizes) < _PARTS:  # the process has exited, and its parent has not waited for it yet
        return None
    memory = Memory(sizes[b"RssAnon"] + sizes[b"RssShmem"], sizes[b"RssFile"], sizes[b"VmSwap"])
    return Resident(sizes[b"VmRSS"], sizes[b"VmHWM"], memory)


def status(pid: int) -> bytes:
    """Return the /proc/PID/status of process `pid`; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return b""


def stat(pid: int | str) -> list[str]:
    """Return the fields of /proc/PID/stat that follow the command, see proc_pid_stat(5). Raises OSError."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")  # a process may give itself any bytes as a name
    return text.rpartition(")")[2].split()


def process(pid: int) -> Totals:
    """Return the running totals of process `pid` and the children that it waited for; empty once it is gone."""
    totals = Totals()
    try:
        fields = stat(pid)

        def total(places: Iterable[int]) -> int:
            return sum(int(fields[place]) for place in places)

        totals["minor_faults"], totals["major_faults"] = total(_MINOR), total(_MAJOR)
        totals["cpu_s"] = total(_CPU) / _TICKS_PER_S
        io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        totals["read_bytes"] = int(io["read_bytes"])
    except (OSError, KeyError):
        pass
    return totals


def processes(pids: Iterable[int]) -> Totals:
    """Return the sums of the running totals of these processes, as far as they exist."""
    sums: dict[str, float] = {}
    for pid in {*pids}:
        for name, value in cast("Mapping[str, float]", process(pid)).items():
            sums[name] = sums.get(name, 0) + value
    return cast("Totals", sums)


def family(pid: int) -> list[int]:
    """Return a process and its living descendants; only itself if the kernel does not list children."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_bytes().split())
    return found


def machine() -> Totals:
    """Return the running totals of the whole machine."""
    return swap_traffic(flat(Path("/proc/vmstat").read_text())) | stall(Path("/proc/pressure/memory"))


def swap_traffic(pages: Mapping[str, int]) -> Totals:
    """Return the bytes swapped in and out, from counts of pages by the kernel's names; empty without such counts."""
    if "pswpin" not in pages:
        return Totals()
    return Totals(swap_in_bytes=pages["pswpin"] * PAGE_BYTES, swap_out_bytes=pages["pswpout"] * PAGE_BYTES)


def stall(path: Path) -> Totals:
    """Return the seconds in which some task stalled, from a pressure file; empty without the file."""
    try:
        some = path.read_text().splitlines()[0]
    except OSError:
        return Totals()
    return Totals(stall_s=int(some.rpartition("total=")[2]) / 1e6)
