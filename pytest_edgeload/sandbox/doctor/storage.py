"""Checks of the cache folder: its free space, reading past the page cache, throttled reads, and swap files."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from pathlib import Path

import psutil

from pytest_edgeload.base.errors import Refusal, Setting, Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.constraints import Limits, disk_of, disks_of
from pytest_edgeload.sandbox.doctor.check import Check, failed
from pytest_edgeload.sandbox.owner import PREFIX, tag
from pytest_edgeload.sandbox.swap import open_swap
from pytest_edgeload.sandbox.swap_area import active

_NEEDED_BYTES = 4 << 30  # for the study's networks, and some swap
_BLOCK_BYTES = 1 << 20
_SLOW = Constraints(read_bps=90 << 20)
_SWAP = "256M"
_ELSEWHERE = ("name a folder on a disk with ", Setting("cache-dir"))


def checks(cache: Path) -> list[Check]:
    """Return the checks. If the folder does not exist, they use the nearest one around it that does."""
    folder = next(path for path in (cache, *cache.parents) if os.path.isdir(path))  # noqa: PTH112  # False without the right to look
    try:
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{tag(os.getpid())}-", dir=folder) as scratch:
            return [
                _space(cache, folder),
                *_reading(Path(scratch)),
                _throttle(folder),
                _existing_swap(),
                _new_swap(Path(scratch)),
            ]
    except OSError as error:
        refusal = Unsupported(str(folder), error.strerror or "", _ELSEWHERE)
        return [failed("storage", "cache folder", refusal, weight="required"), _existing_swap()]


def _space(cache: Path, folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    kinds = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    points = [point for point in kinds if folder.resolve().is_relative_to(point)]
    kind = kinds[max(points, key=lambda point: len(point.parts))] if points else "unknown"
    found = f"{cache}: {format_size(free)} free on {kind}"
    hint = (f"make {format_size(_NEEDED_BYTES)} free, or ", *_ELSEWHERE)
    return Check("storage", "cache folder", free >= _NEEDED_BYTES, found, hint)


def _reading(scratch: Path) -> list[Check]:
    file = scratch / "block"
    with file.open("wb") as out:
        out.write(bytes(_BLOCK_BYTES))
        out.flush()
        os.fsync(out.fileno())
    return [_direct(file), _dropping(file)]


def _direct(file: Path) -> Check:
    try:
        _read(file, os.O_DIRECT)
    except OSError as error:
        hint = (*_ELSEWHERE, "; without it ", Setting("reader", "direct"), " reads as `read`")
        return Check("storage", "O_DIRECT", ok=False, found=f"refused: {error.strerror}", hint=hint)
    return Check("storage", "O_DIRECT", ok=True, found="a file was read past the page cache")


def _dropping(file: Path) -> Check:
    """Drop a file from the page cache, and check that a read that must not wait for the disk then fails."""
    what = "cold page cache"
    _read(file)
    page_cache.drop([file])
    try:
        _read(file, how=os.RWF_NOWAIT)
    except BlockingIOError:
        return Check("storage", what, ok=True, found="a file's pages were dropped")
    except OSError as error:
        return Check("storage", what, ok=False, found=f"unknown: {error.strerror}", hint=_ELSEWHERE)
    return Check("storage", what, ok=False, found="a file's pages stay in memory", hint=_ELSEWHERE)


def _read(file: Path, flags: int = 0, how: int = 0) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        with mmap.mmap(-1, _BLOCK_BYTES) as memory:  # at an aligned address, which O_DIRECT needs
            os.preadv(fd, [memory], 0, how)
    finally:
        os.close(fd)


def _throttle(folder: Path) -> Check:
    """Open a group with throttled reads of the folder's disk."""
    what, disk = "reads can be throttled", disk_of(folder)
    try:
        limits = Limits(_SLOW, disks=disks_of(_SLOW, [folder], []))
        name, cap = choose("auto", _SLOW.read_bps)
        group = cap.open(f"{PREFIX}{tag(os.getpid())}-doctor", limits)
    except Refusal as error:
        hint = ("a cap with its io controller, and ", *_ELSEWHERE)
        return Check("storage", what, ok=False, found=error.reason or error.subject, hint=hint)
    group.close()
    return Check("storage", what, ok=True, found=f"{disk.name if disk else ''}, by {name}")


def _existing_swap() -> Check:
    areas = active()
    found = ", ".join(f"{path} of {format_size(size)}" for path, size in areas) or "none"
    hint = ("swapon, or as root ", Setting("swap", "2G"))
    return Check("swap", "existing swap", bool(areas), found, hint, "informative")


def _new_swap(scratch: Path) -> Check:
    """Create a swap file, switch it on, and remove it."""
    what = "swap can be created"
    try:
        open_swap(_SWAP, scratch, tag(os.getpid())).close()
    except Refusal as error:
        return Check("swap", what, ok=False, found=error.reason or error.subject, hint=error.hint)
    return Check("swap", what, ok=True, found=f"a file of {_SWAP} was switched on and removed")
