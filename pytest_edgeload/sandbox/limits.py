"""What a worker is held to, and which disks its reads come from."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pytest_edgeload.errors import Unsupported
from pytest_edgeload.units import format_size


@dataclass(frozen=True, slots=True)
class Throttle:
    """Bytes a second that may be read from each of `disks`, which are called `MAJOR:MINOR`, as the kernel does it."""

    read_bps: int
    disks: tuple[str, ...]

    @classmethod
    def of(cls, read_bps: int, files: Iterable[Path], areas: Iterable[Path]) -> Self:
        """Return the throttle of the disks that hold `files` and the swap `areas`. Raises Unsupported."""
        disks = [_disk(read_bps, file, "name a folder on a disk by --edge-cache-dir") for file in files]
        swapped = (_disk(read_bps, area, "try --edge-swap=off") for area in areas)
        disks += [disk for disk in swapped if not disk.name.startswith("zram")]  # which is memory
        return cls(read_bps, tuple(dict.fromkeys((disk / "dev").read_text().strip() for disk in disks)))


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel is to hold a worker to: bytes of memory, whether it may swap, and how fast it may read."""

    memory_bytes: int | None = None
    swap: bool = False
    reads: Throttle | None = None


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


def _disk(read_bps: int, path: Path, way_out: str) -> Path:
    disk = disk_of(path)
    if disk is None:
        raise Unsupported(
            f"--edge-read-bw={format_size(read_bps)}: {path} is on no disk that could be throttled, as nothing on "
            f"overlay, tmpfs or btrfs is; {way_out}, or leave it out"
        )
    return disk
