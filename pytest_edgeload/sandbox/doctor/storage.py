"""The cache folder: its room, how its files are read, how reads of it are held back, and swap in it."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from pathlib import Path

import psutil

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.units import exact_size, format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.constraints import Limits, disk_of, disks_of
from pytest_edgeload.sandbox.doctor.row import Row, refused
from pytest_edgeload.sandbox.owner import PREFIX, tag
from pytest_edgeload.sandbox.swap import active, open_swap

_ROOM = 4 << 30  # the study's networks, and some swap
_BLOCK = 1 << 20
_RATE = 90 << 20
_SWAP = "256M"
_ELSEWHERE = "name a folder on a disk by --cache-dir, in pytest --edge-cache-dir"


def rows(cache: Path) -> list[Row]:
    """Return all of it. Where the folder is not there yet, the one it would be made in is tried."""
    folder = next(path for path in (cache, *cache.parents) if os.path.isdir(path))  # noqa: PTH112  # which takes "not for you" for no
    try:
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{tag(os.getpid())}-", dir=folder) as scratch:
            return [
                _room(cache, folder),
                *_reading(Path(scratch)),
                _throttle(folder),
                _existing(),
                _fresh(Path(scratch)),
            ]
    except OSError as error:
        reason = f"{folder}: {error.strerror}"
        return [refused("storage", "cache folder", reason, way_out=_ELSEWHERE, weight="required"), _existing()]


def _room(cache: Path, folder: Path) -> Row:
    free = shutil.disk_usage(folder).free
    kinds = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    places = [point for point in kinds if folder.resolve().is_relative_to(point)]
    kind = kinds[max(places, key=lambda point: len(point.parts))] if places else "unknown"
    found = f"{cache}: {format_size(free)} free on {kind}"
    return Row("storage", "cache folder", free >= _ROOM, found, f"make {format_size(_ROOM)} free, or {_ELSEWHERE}")


def _reading(scratch: Path) -> list[Row]:
    file = scratch / "block"
    with file.open("wb") as out:
        out.write(bytes(_BLOCK))
        out.flush()
        os.fsync(out.fileno())
    return [_direct(file), _dropping(file)]


def _direct(file: Path) -> Row:
    way_out = f"{_ELSEWHERE}; without it --edge-reader=direct reads as `read`"
    try:
        _read(file, os.O_DIRECT)
    except OSError as error:
        return Row("storage", "O_DIRECT", ok=False, found=f"refused: {error.strerror}", way_out=way_out)
    return Row("storage", "O_DIRECT", ok=True, found="a file was read past the page cache")


def _dropping(file: Path) -> Row:
    """Drop a file from the page cache, and see whether it is then refused to who does not want to wait."""
    what = "cold page cache"
    _read(file)
    page_cache.drop([file])
    try:
        _read(file, how=os.RWF_NOWAIT)
    except BlockingIOError:
        return Row("storage", what, ok=True, found="a file's pages were dropped")
    except OSError as error:
        return Row("storage", what, ok=False, found=f"cannot be told: {error.strerror}", way_out=_ELSEWHERE)
    return Row("storage", what, ok=False, found="a file's pages stay in memory", way_out=_ELSEWHERE)


def _read(file: Path, flags: int = 0, how: int = 0) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        with mmap.mmap(-1, _BLOCK) as memory:  # whose address is aligned, as O_DIRECT wants it
            os.preadv(fd, [memory], 0, how)
    finally:
        os.close(fd)


def _throttle(folder: Path) -> Row:
    """Have a group made whose reads of this disk are held back."""
    what, disk = "reads can be throttled", disk_of(folder)
    throttled = Constraints(read_bps=_RATE)
    try:
        name, cap = choose("auto", _RATE)
        group = cap.open(
            f"{PREFIX}{tag(os.getpid())}-doctor", Limits(throttled, disks=disks_of(throttled, [folder], []))
        )
    except Refusal as error:
        found = str(error).removeprefix(f"--edge-read-bw={exact_size(_RATE)}: ").partition("; ")[0]
        return Row("storage", what, ok=False, found=found, way_out=f"a cap with its io controller, and {_ELSEWHERE}")
    group.close()
    return Row("storage", what, ok=True, found=f"{disk.name if disk else ''}, by {name}")


def _existing() -> Row:
    areas = active()
    found = ", ".join(f"{path} of {format_size(size)}" for path, size in areas) or "none"
    return Row("swap", "swap there is", bool(areas), found, "swapon, or as root --edge-swap=2G", "told")


def _fresh(scratch: Path) -> Row:
    """Have a swap file made, switched on, and removed again."""
    what = "swap can be made"
    try:
        open_swap(_SWAP, scratch, tag(os.getpid())).close()
    except Refusal as error:
        found, _, way_out = str(error).partition("; ")
        return Row("swap", what, ok=False, found=found.rpartition(": ")[2], way_out=way_out)
    return Row("swap", what, ok=True, found=f"a file of {_SWAP} was switched on, and removed")
