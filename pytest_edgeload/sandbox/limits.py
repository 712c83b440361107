"""What a worker is held to, and which disks its reads come from."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import exact_size

MOST_PROCESSES = 2048
"""Processes and threads that a run may have at once, where the kernel counts them, and pytest may have twice as many.

Far more than runtimes with a thread a processor take, and few enough for a machine to stay usable under a program that
forks and forks.
"""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Bytes a second that may be read from and written to each of `disks`; None is as fast as the disk is.

    Disks are called `MAJOR:MINOR`, as the kernel does it. What is written through the page cache, or swapped out, is
    not held back by version 1 of cgroups, nor by version 2 on file systems that do not tell whose pages they write.
    """

    read_bps: int | None
    disks: tuple[str, ...]
    write_bps: int | None = None

    @classmethod
    def of(
        cls, read_bps: int | None, files: Iterable[Path], areas: Iterable[Path], write_bps: int | None = None
    ) -> Self:
        """Return the throttle of the disks that hold `files` and the swap `areas`. Raises Unsupported."""
        asked = "--edge-device" if read_bps is None else f"--edge-read-bw={exact_size(read_bps)}"
        disks = [_disk(asked, file, "name a folder on a disk by --edge-cache-dir") for file in files]
        swapped = (_disk(asked, area, "try --edge-swap=off") for area in areas)
        disks += [disk for disk in swapped if not disk.name.startswith("zram")]  # which is memory
        names = tuple(dict.fromkeys((disk / "dev").read_text().strip() for disk in disks))
        return cls(read_bps, names, write_bps)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel is to hold a worker to; None and nothing leave it as free as this process is.

    Bytes of memory, whether it may swap, how fast it may read and write, how many processors' time it gets, the numbers
    of the processors it may run on, the most bytes that it may have in swap, where it may swap at all, and the most
    processes and threads.
    """

    memory_bytes: int | None = None
    swap: bool = False
    reads: Throttle | None = None
    cpus: float | None = None
    cores: tuple[int, ...] = ()
    swap_bytes: int | None = None
    processes: int = MOST_PROCESSES


def disk_of(path: Path) -> Path | None:
    """Return the folder in /sys of the whole disk that holds `path`, or that `path` is on or a partition of, if any.

    Overlay, tmpfs, btrfs and network file systems give their files a device number that stands for no disk.
    """
    try:
        found = path.stat()
    except OSError:  # a swap area that was removed, or that a container sees of its host
        return None
    number = found.st_rdev if stat.S_ISBLK(found.st_mode) else found.st_dev
    folder = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not folder.exists():
        return None
    folder = folder.resolve()
    return folder.parent if (folder / "partition").exists() else folder  # partitions cannot be throttled


def cores_of(count: int) -> tuple[int, ...]:
    """Return the numbers of the first `count` processors that this process may run on; fewer where there are fewer."""
    return tuple(sorted(os.sched_getaffinity(0))[:count])


def _disk(asked: str, path: Path, way_out: str) -> Path:
    disk = disk_of(path)
    if disk is None:
        raise Unsupported(
            f"{asked}: {path} is on no disk that could be throttled, as nothing on "
            f"overlay, tmpfs or btrfs is; {way_out}, or leave it out"
        )
    return disk
