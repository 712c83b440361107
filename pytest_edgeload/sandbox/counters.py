"""The kernel's figures about a process, a group and the machine, read from /proc.

Sources: proc(5), Documentation/admin-guide/cgroup-v2.rst, Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, TypedDict, cast

from pytest_edgeload.base import kernel_text

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LATE_BYTES = 2 * 64 * PAGE_BYTES * (os.cpu_count() or 1)
"""The memory of a group that the kernel may count late: each processor counts up to 64 pages by itself, and charges as
many in advance; see MEMCG_CHARGE_BATCH."""

_HUGE_PAGE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
_USUAL_HUGE_PAGE_BYTES = 2 << 20
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STATUS = re.compile(rb"^(VmHWM|VmRSS|RssAnon|RssFile|RssShmem|VmSwap):\s+(\d{1,20}) kB", re.MULTILINE)
_BUSY = (0, 1, 2, 5, 6, 7)  # fields of `cpu` in /proc/stat: user, nice, system, irq, softirq, and stolen by the host
_PARTS = 6
_LIVE_BYTES = 16384
_TOTAL = re.compile(r"\btotal=(\d{1,20})$", re.ASCII)
# Fields of `stat` behind the command, counted from 0: of the process, and of the children that it waited for.
_STATE, _GROUP, _SESSION, _START = 0, 2, 3, 19
_MINOR, _MAJOR, _CPU = (7, 8), (9, 10), (11, 12, 13, 14)


class Totals(TypedDict, total=False):
    """Running totals of a process, a group or the machine, by metric, and a group's marks.

    The kernel does not report an absent one.
    """

    minor_faults: int
    major_faults: int
    cpu_s: float
    machine_cpu_s: float
    read_bytes: int
    swap_in_bytes: int
    swap_out_bytes: int
    stall_s: float
    refaults: int
    peak_charged_bytes: int
    kernel_bytes: int
    oom_kills: int
    limit_hits: int
    fork_refusals: int
    max_processes: int


_MARKS = {"peak_charged_bytes", "kernel_bytes", "oom_kills", "limit_hits", "fork_refusals", "max_processes"}
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


class Stat(NamedTuple):
    """The figures in a /proc/PID/stat that are used here, with those of children that the process waited for.

    See proc_pid_stat(5).
    """

    state: str
    process_group: int
    session: int
    minor_faults: int
    major_faults: int
    cpu_ticks: int
    start_ticks: int


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


def stat(pid: int | str) -> Stat:
    """Return the fields of /proc/PID/stat. Raises OSError, as for a process that is gone."""
    fields = parse_stat(kernel_text.read(f"/proc/{pid}/stat"))
    if fields is None:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), str(pid))
    return fields


def parse_stat(text: str) -> Stat | None:
    """Return the fields in the text of a /proc/PID/stat; None if they are not there. The command may have any name."""
    fields = text.rpartition(")")[2].split()
    numbers = [kernel_text.number(field) or 0 for field in fields]
    if len(fields) <= _START:
        return None

    def total(places: Iterable[int]) -> int:
        return sum(numbers[place] for place in places)

    return Stat(
        state=fields[_STATE],
        process_group=numbers[_GROUP],
        session=numbers[_SESSION],
        minor_faults=total(_MINOR),
        major_faults=total(_MAJOR),
        cpu_ticks=total(_CPU),
        start_ticks=numbers[_START],
    )


def process(pid: int) -> Totals:
    """Return the running totals of process `pid` and the children that it waited for; empty once it is gone."""
    totals = Totals()
    with suppress(OSError, KeyError):
        fields = stat(pid)
        totals["minor_faults"], totals["major_faults"] = fields.minor_faults, fields.major_faults
        totals["cpu_s"] = fields.cpu_ticks / _TICKS_PER_S
        totals["read_bytes"] = kernel_text.entries(Path(f"/proc/{pid}/io"))["read_bytes"]
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
                found += kernel_text.whole(kernel_text.read(children).split())
    return found


def machine() -> Totals:
    """Return the running totals of the whole machine."""
    totals = Totals()
    with suppress(OSError):  # some containers hide it
        totals |= swap_traffic(kernel_text.entries(Path("/proc/vmstat")))
    with suppress(OSError):
        totals |= busy(kernel_text.read(Path("/proc/stat")))
    return totals | stall(Path("/proc/pressure/memory"))


def busy(text: str) -> Totals:
    """Return the time that processors were not idle, from /proc/stat; empty without such a line."""
    name, _, figures = text.partition("\n")[0].partition(" ")
    ticks = kernel_text.whole(figures.split())
    if name != "cpu" or len(ticks) <= max(_BUSY):
        return Totals()
    return Totals(machine_cpu_s=sum(ticks[field] for field in _BUSY) / _TICKS_PER_S)


def swap_traffic(pages: Mapping[str, int]) -> Totals:
    """Return the bytes swapped in and out, from counts of pages by the kernel's names; empty without such counts."""
    if not {"pswpin", "pswpout"} <= pages.keys():
        return Totals()
    return Totals(swap_in_bytes=pages["pswpin"] * PAGE_BYTES, swap_out_bytes=pages["pswpout"] * PAGE_BYTES)


def refaults(stat: Mapping[str, int]) -> Totals:
    """Return the evicted pages that were needed again, from a group's memory.stat; empty before Linux 5.9."""
    if not {"workingset_refault_anon", "workingset_refault_file"} <= stat.keys():
        return Totals()
    return Totals(refaults=stat["workingset_refault_anon"] + stat["workingset_refault_file"])


def huge_page_bytes(file: Path = _HUGE_PAGE) -> int:
    """Return the size of this kernel's huge pages of private memory, such as 32 MiB with pages of 16 KiB."""
    with suppress(OSError):  # a kernel that has none
        return kernel_text.number(kernel_text.read(file)) or _USUAL_HUGE_PAGE_BYTES
    return _USUAL_HUGE_PAGE_BYTES


def reaches(highest_bytes: int, limit_bytes: int) -> bool:
    """Return whether a group with this high-water mark may have reached its limit: a huge page is charged at once."""
    return highest_bytes > limit_bytes - huge_page_bytes()


def oom_kills(events: Mapping[str, int]) -> Totals:
    """Return the processes of a group that the kernel killed for memory; empty before Linux 4.13."""
    return Totals(oom_kills=events["oom_kill"]) if "oom_kill" in events else Totals()


def stall(path: Path) -> Totals:
    """Return the seconds in which some task stalled, from a pressure file; empty without the file."""
    try:
        return stall_in(kernel_text.read(path))
    except OSError:
        return Totals()


def stall_in(text: str) -> Totals:
    """Return the same from the text of a pressure file."""
    total = _TOTAL.search(text.partition("\n")[0])
    return Totals(stall_s=int(total[1]) / 1e6) if total else Totals()
