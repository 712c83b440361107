"""Groups, processes and swap of the machine, observed without the code under test."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
_PATIENCE_S = 100.0


def groups(part: str) -> list[Path]:
    """Return all cgroups with `part` in their name."""
    return [Path(root, name) for root, names, _ in os.walk(CGROUPS) for name in names if part in name]


def named(name: str) -> list[Path]:
    """Return the cgroups with this very name: one in each hierarchy that holds it."""
    return [folder for folder in groups(name) if folder.name == name]


def marks_peaks() -> bool:
    """Return whether this kernel marks the highest charge of a group of version 2, as since Linux 5.19."""
    return [int(number) for number in re.findall(r"\d+", platform.release())[:2]] >= [5, 19]


def members(name: str) -> list[int]:
    """Return the processes in the cgroups with this very name; none if there is no such group."""
    try:
        return [int(pid) for folder in named(name) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Return whether the process exists and has not exited."""
    try:
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def swaps() -> str:
    """Return the text of /proc/swaps."""
    return Path("/proc/swaps").read_text()


def in_memory(folder: Path) -> bool:
    """Return whether files in `folder` are in memory."""
    kinds = {mount.mountpoint: mount.fstype for mount in psutil.disk_partitions(all=True)}
    return kinds[max(filter(folder.is_relative_to, kinds), key=len)] in {"tmpfs", "ramfs"}


def cached_bytes(path: Path) -> int:
    """Return how much of a file the page cache holds; see mincore(2)."""
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    found = (ctypes.c_ubyte * (-(-len(mapping) // mmap.PAGESIZE)))()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapping)), found) == 0
    return mmap.PAGESIZE * sum(resident & 1 for resident in found)


def zswap() -> bool:
    """Return whether swapped pages are kept in memory, compressed, as long as there is room."""
    enabled = Path("/sys/module/zswap/parameters/enabled")
    return enabled.exists() and enabled.read_text().strip() == "Y"


def until(true: Callable[[], bool]) -> bool:
    """Wait until a condition is true, and return whether it became true."""
    deadline = time.monotonic() + _PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def as_nobody(imports: str, expression: str) -> str:
    """Return the output of a new interpreter, as a user without rights, for `expression` or its exception."""
    drop = "os.setgroups([]); os.setgid(65534); os.setuid(65534)" if os.geteuid() == 0 else ""
    attempt = f"try: print({expression})\nexcept Exception as e: print(f'{{type(e).__name__}}: {{e}}')"
    script = f"import os\n{imports}\n{drop}\n{attempt}"
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()
