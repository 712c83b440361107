"""Shared memory and files in memory that a run leaves behind: the next run would find them, charged to no one.

See tmpfs(5), sysvipc(7) and Documentation/admin-guide/cgroup-v1/memory.rst.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.text import listed
from pytest_edgeload.base.units import format_size
from pytest_edgeload.sandbox.counters import LATE_BYTES, Memory

_SHM = Path("/dev/shm")  # noqa: S108  # where POSIX shared memory is, see shm_overview(7)
_SEGMENTS = Path("/proc/sysvipc/shm")
_ID, _OWNER, _RESIDENT, _SWAPPED = 1, 7, 14, 15  # columns of it
_IPC_RMID = 0
_BLOCK_BYTES = 512
_MIN_BYTES = max(1 << 20, 2 * LATE_BYTES)  # less is not certain, and hardly changes the outcome of a run


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """A file, a folder or a segment of shared memory: its name, its owner, and the memory it takes."""

    name: Path | int
    owner: int
    size_bytes: int

    def __str__(self) -> str:
        return str(self.name) if isinstance(self.name, Path) else f"SysV segment {self.name}"

    def remove(self) -> bool:
        """Remove it, and return whether it is gone."""
        if isinstance(self.name, int):
            return int(ctypes.CDLL(None).shmctl(self.name, _IPC_RMID, None)) == 0
        if self.name.is_dir() and not self.name.is_symlink():
            shutil.rmtree(self.name, ignore_errors=True)
        else:
            with suppress(OSError):
                self.name.unlink()
        return not os.path.lexists(self.name)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """The folders in memory that a run may use, and the names of everything in shared memory before it."""

    folders: tuple[Path, ...]
    names: frozenset[Path | int]

    @classmethod
    def before(cls, environ: Mapping[str, str]) -> Self:
        """Look at shared memory before a run with this environment."""
        folders = tuple(folder for folder in dict.fromkeys((_SHM, _temporary(environ))) if _is_in_memory(folder))
        return cls(folders, _names(folders))

    def remove(self, left: Memory | None, owner: int) -> tuple[str, ...]:
        """Remove everything that a run of user `owner` left in memory, and return sentences about it.

        `left` is the memory of the group without its processes. If it is None or little, nothing was left. Another
        program of that user may have made new things as well. So they are removed only if their size is what is left.
        """
        left_bytes = 0 if left is None else left.anon + left.swap
        if left_bytes < _MIN_BYTES:
            return ()
        new = [thing for name in _names(self.folders) - self.names if (thing := _look(name, owner)) is not None]
        is_own = abs(left_bytes - sum(thing.size_bytes for thing in new)) <= LATE_BYTES
        removed = [thing for thing in new if thing.remove()] if is_own else []
        return sentences(left_bytes, removed, [thing for thing in new if thing not in removed])


def sentences(left_bytes: int, removed: Sequence[SharedMemory], kept: Sequence[SharedMemory]) -> tuple[str, ...]:
    """Return a sentence about the things that were removed, and one about memory that is still in use."""
    removed_bytes = sum(thing.size_bytes for thing in removed)
    found = []
    if removed:
        found.append(f"it left {format_size(removed_bytes)} in memory, which was removed: {listed(removed)}")
    kept_bytes = left_bytes - removed_bytes
    if kept_bytes >= _MIN_BYTES:
        names = f": perhaps {listed(kept)}" if kept else ""
        found.append(
            f"it left {format_size(kept_bytes)} in shared memory or files in memory, which later runs find and are not "
            f"charged for{names}"
        )
    return tuple(found)


def _temporary(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("TMPDIR") or "/tmp")  # noqa: S108  # the default of all programs


def _is_in_memory(folder: Path) -> bool:
    """Return whether the files in `folder` are in memory; see proc_pid_mountinfo(5)."""
    try:
        number = folder.stat().st_dev
    except OSError:
        return False
    device = f" {os.major(number)}:{os.minor(number)} "
    lines = kernel_text.lines(kernel_text.read("/proc/self/mountinfo"))
    return any(device in line and " - tmpfs " in line for line in lines)


def _names(folders: Iterable[Path]) -> frozenset[Path | int]:
    """Return the entries of `folders` and the ids of the segments of System V."""
    files: list[Path] = []
    for folder in folders:
        with suppress(OSError):  # it was removed meanwhile
            files += folder.iterdir()
    return frozenset((*files, *_segments()))


def _look(name: Path | int, owner: int) -> SharedMemory | None:
    """Return the shared memory of this name if it belongs to `owner` and is not small; None if it is gone."""
    try:
        found = _file(name) if isinstance(name, Path) else _segments()[name]
    except (OSError, KeyError):
        return None
    return found if found.owner == owner and found.size_bytes >= _MIN_BYTES else None


def _file(path: Path) -> SharedMemory:
    inside = [Path(parent, name) for parent, _, names in os.walk(path) for name in names]
    blocks = sum(each.lstat().st_blocks for each in (path, *inside))
    return SharedMemory(path, path.lstat().st_uid, blocks * _BLOCK_BYTES)


def _segments() -> dict[int, SharedMemory]:
    """Return the segments of System V; none if the kernel has none."""
    try:
        lines = kernel_text.lines(kernel_text.read(_SEGMENTS))[1:]
    except OSError:
        return {}
    rows = ([*map(int, line.split())] for line in lines)
    return {row[_ID]: SharedMemory(row[_ID], row[_OWNER], row[_RESIDENT] + row[_SWAPPED]) for row in rows}
