"""What the kernel tells about a process, a group and the machine: read from /proc, as values.

Sources: proc(5), Documentation/admin-guide/cgroup-v2.rst, Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STATUS = re.compile(rb"^(VmHWM|VmRSS|RssAnon|RssFile|VmSwap):\s+(\d+) kB", re.MULTILINE)
_PARTS = 5
_LIVE_BYTES = 16384
_MINOR, _MAJOR, _USER, _SYSTEM = 7, 9, 11, 12  # fields of /proc/PID/stat after the command


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use at one moment: anonymous, file-backed (page cache or mapped files), and in swap."""

    anon: int
    file: int
    swap: int


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident memory of a process now and at its highest, and its parts."""

    now: int
    highest: int
    memory: Memory


def flat(text: str) -> dict[str, int]:
    """Return the entries of a kernel file of lines `name number`. Raises ValueError."""
    return {name: int(value) for name, value in (line.split()[:2] for line in text.splitlines())}


class Live:
    """A kernel file that is read again and again; it stays open, which makes a reading several times cheaper."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = None
        with suppress(FileNotFoundError):
            self._file = path.open("rb", buffering=0)

    def read(self) -> bytes:
        """Return what the file says now; nothing once what it tells of is gone."""
        try:
            return b"" if self._file is None else os.pread(self._file.fileno(), _LIVE_BYTES, 0)
        except OSError:
            return b""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def resident(status: bytes) -> Resident | None:
    """Return the resident memory that a /proc/PID/status tells of; None once the process is gone."""
    found = {name: int(size) * 1024 for name, size in _STATUS.findall(status)}
    if len(found) < _PARTS:  # a process that has exited and was not waited for
        return None
    memory = Memory(found[b"RssAnon"], found[b"RssFile"], found[b"VmSwap"])
    return Resident(found[b"VmRSS"], found[b"VmHWM"], memory)


def status(pid: int) -> bytes:
    """Return the /proc/PID/status of process `pid`; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return b""


def process(pid: int) -> dict[str, float]:
    """Return the running totals of process `pid`, by metric name; what cannot be read is absent."""
    totals: dict[str, float] = {}
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        totals["minor_faults"], totals["major_faults"] = int(fields[_MINOR]), int(fields[_MAJOR])
        totals["cpu_s"] = (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_S
        io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        totals["read_bytes"] = int(io["read_bytes"])
    except (OSError, KeyError):
        pass
    return totals


def machine() -> dict[str, float]:
    """Return the running totals of the whole machine, by metric name; what this kernel lacks is absent."""
    return swap_traffic(flat(Path("/proc/vmstat").read_text())) | stall(Path("/proc/pressure/memory"))


def swap_traffic(stat: Mapping[str, int]) -> dict[str, float]:
    """Return the bytes swapped in and out, from a file that may count them in pages; empty if it does not."""
    pages = {"swap_in_bytes": stat.get("pswpin"), "swap_out_bytes": stat.get("pswpout")}
    return {name: count * PAGE_BYTES for name, count in pages.items() if count is not None}


def stall(path: Path) -> dict[str, float]:
    """Return the seconds in which some task stalled, from a pressure file; empty where the kernel has none."""
    try:
        some = path.read_text().splitlines()[0]
    except OSError:
        return {}
    return {"stall_s": int(some.rpartition("total=")[2]) / 1e6}
