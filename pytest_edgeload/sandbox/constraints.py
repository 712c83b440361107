"""Constraints as the kernel takes them: with the disks to throttle and the numbers of cores."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Setting, Unsupported
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraints
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.sandbox.swap_area import active

MAX_PROCESSES = 2048
"""The processes and threads that a run may have at once if the kernel counts them; pytest may have twice as many.

Far more than runtimes with a thread per processor need, and few enough to keep the machine usable under a program that
forks without end.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The constraints of a group, and the facts that a cap needs to enforce them.

    `may_swap` allows swap at all. Reads and writes are throttled on each of `disks`, which have the kernel's names
    `MAJOR:MINOR`. Two kinds of writes are not throttled: those through the page cache or to swap by version 1 of
    cgroups, and by version 2 on file systems that do not record which group wrote a page. `own_cores` are the numbers
    of the cores that no other run uses.
    """

    constraints: Constraints = field(default_factory=Constraints)
    may_swap: bool = False
    disks: tuple[str, ...] = ()
    max_processes: int = MAX_PROCESSES
    own_cores: tuple[int, ...] = ()

    @property
    def max_swap_bytes(self) -> int | None:
        """The bytes that the group may swap; None without a limit."""
        return self.constraints.swap_bytes if self.may_swap else 0

    @property
    def core_numbers(self) -> tuple[int, ...]:
        """The numbers of the cores that the group may run on; empty if it may run on all."""
        if self.own_cores or self.constraints.cores is None:
            return self.own_cores
        return cores_of(self.constraints.cores)


def limits_of(constraints: Constraints, files: Iterable[Path], swap: Swap) -> Limits:
    """Return the limits of a process that reads `files`. Raises Unsupported if a disk cannot be throttled."""
    areas = [path for path, _ in active()] if swap.usable else []
    disks = disks_of(constraints, files, areas) if _is_throttled(constraints) else ()
    return Limits(constraints, swap.usable, disks)


def _is_throttled(constraints: Constraints) -> bool:
    return constraints.read_bps is not None or constraints.write_bps is not None


def disks_of(constraints: Constraints, files: Iterable[Path], areas: Iterable[Path]) -> tuple[str, ...]:
    """Return the disks of `files` and of the swap `areas`, as the kernel names them. Raises Unsupported."""
    throttle = "write_bps" if constraints.read_bps is None else "read_bps"
    setting = CONSTRAINTS[throttle].setting(getattr(constraints, throttle))
    disks = [_disk(setting, file, ("name a folder on a disk with ", Setting("cache-dir"))) for file in files]
    swapped = (_disk(setting, area, ("try ", Setting("swap", "off"))) for area in areas)
    disks += [disk for disk in swapped if not disk.name.startswith("zram")]  # which is memory
    return tuple(dict.fromkeys(kernel_text.read(disk / "dev").strip() for disk in disks))


def _disk(setting: Setting, path: Path, hint: tuple[str | Setting, ...]) -> Path:
    disk = disk_of(path)
    if disk is None:
        reason = f"{path} is not on a disk that can be throttled (overlay, tmpfs and btrfs are not)"
        raise Unsupported(setting, reason, (*hint, ", or leave it out"))
    return disk


def disk_of(path: Path) -> Path | None:
    """Return the folder in /sys of the whole disk that contains `path`; None without one.

    `path` may itself be a disk or a partition. Overlay, tmpfs, btrfs and network file systems give their files a device
    number that belongs to no disk.
    """
    try:
        status = path.stat()
    except OSError:  # a swap area that was removed, or that a container sees of its host
        return None
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    folder = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not folder.exists():
        return None
    folder = folder.resolve()
    return folder.parent if (folder / "partition").exists() else folder  # partitions cannot be throttled


def cores_of(count: int) -> tuple[int, ...]:
    """Return the numbers of the first `count` cores that this process may run on; fewer if it may not use as many."""
    return tuple(sorted(os.sched_getaffinity(0))[:count])


def unthrottled(constraints: Constraints, files: Iterable[Path]) -> list[Path]:
    """Return those of `files` that cannot be throttled, if `constraints` throttle anything."""
    return [file for file in files if disk_of(file) is None] if _is_throttled(constraints) else []
