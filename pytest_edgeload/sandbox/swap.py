"""The swap of a session: the machine's own, a temporary file, compressed memory, or none."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_edgeload.base.errors import Refusal, Setting, Unsupported, UsageError
from pytest_edgeload.base.units import format_size, parse_size, swap_text
from pytest_edgeload.sandbox import zram
from pytest_edgeload.sandbox.owner import PREFIX, is_abandoned, is_own
from pytest_edgeload.sandbox.swap_area import PATH, active, reason_of, switch_off, switch_on
from pytest_edgeload.sandbox.user import caller_id

if TYPE_CHECKING:
    from pytest_edgeload.sandbox.caps.outer import OuterLimit

AUTO_BYTES = 8 << 30  # as much as the machine of the 2020 study had
_MIN_FREE_BYTES = 1 << 30
_MIN_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Swap:
    """The swap of a session: its size, whether workers may use it, and its temporary area, if it has one.

    `kind` is `zram` or `file`, also for a partition; empty if the machine's own swap is of both kinds.
    """

    size_bytes: int
    usable: bool = True
    file: Path | None = None
    kind: str = "file"

    def __str__(self) -> str:
        if not self.usable:
            return "off"
        kind = "zram:" if self.kind == "zram" else ""
        return kind + format_size(self.size_bytes) if self.size_bytes else "none"

    def shortfall(self, kind: str, size_bytes: int) -> str:
        """Return how much there is of a swap of this kind, any if it is empty, and size: `2G of zram:1G`.

        An empty text if it is all there.
        """
        if self.size_bytes >= size_bytes and kind in {"", self.kind if self.usable else ""}:
            return ""
        return f"{self} of {swap_text(kind, size_bytes)}"

    def close(self) -> None:
        """Switch the temporary area off and remove it; the machine's own swap is never touched. Raises Unsupported."""
        if self.file is not None:
            try:
                (zram.remove if self.kind == "zram" else remove)(self.file)
            except (OSError, subprocess.CalledProcessError) as error:
                hint = f"free some memory and run swapoff {self.file}, or let the next session try again"
                what = "the zram device" if self.kind == "zram" else "the swap file"
                raise Unsupported(what, f"cannot be removed: {reason_of(error)}", hint) from error


def planned(setting: str, wanted: tuple[str, int] | None = None) -> Swap:
    """Return the swap that a session with `setting` would have, for a simulation; nothing is switched on.

    `wanted` is the kind and the size that devices ask for. `auto` without a swap of the machine's own is a file.
    """
    if wanted is not None:
        return Swap(wanted[1], kind=wanted[0])
    if setting == "off":
        return Swap(0, usable=False)
    kind, _, text = setting.rpartition(":")
    if text not in {"existing", "auto"}:
        return Swap(parse_size(text), kind=kind or "file")
    existing = sum(size for path, size in active() if not path.name.startswith(PREFIX))
    return Swap(AUTO_BYTES if setting == "auto" and not existing else existing)


def open_wanted(kind: str, size_bytes: int, folder: Path, session: str, outer: OuterLimit | None = None) -> Swap | None:
    """Return a swap of this kind and at least this size, the machine's own if possible; None if there cannot be one."""
    existing = open_swap("existing", folder, session, outer)
    if not existing.shortfall(kind, size_bytes):
        return existing
    try:
        return open_swap(swap_text(kind, max(size_bytes, _MIN_BYTES)), folder, session, outer)
    except Refusal:
        return None


def open_swap(setting: str, folder: Path, session: str, outer: OuterLimit | None = None) -> Swap:
    """Return the swap that `setting` asks for, or what the limit `outer` of the groups around leaves of it.

    `existing`: the machine's swap. `auto`: that, or else a temporary file if this process may switch one on. A size, or
    `file:SIZE`: a temporary file of that size. `zram:SIZE`: as much in compressed memory. `off`: workers may not swap.
    Temporary files are in `folder` and have the name of `session`. Raises UsageError or Unsupported.
    """
    if setting == "off":
        return Swap(0, usable=False)
    own = zram.devices()
    areas = [(path, size) for path, size in active() if not path.name.startswith(PREFIX) and path not in own]
    existing, kinds = sum(size for _, size in areas), {zram.kind_of(path) for path, _ in areas} or {"file"}
    max_bytes = math.inf if outer is None else outer.value
    if setting == "existing" or (setting == "auto" and (existing or not max_bytes or not _may_swapon())):
        return Swap(int(min(existing, max_bytes)), kind=kinds.pop() if len(kinds) == 1 else "")
    asked = Setting("swap", setting)
    kind, _, text = setting.rpartition(":")
    size = None if text == "auto" else parse_size(text)
    if outer is not None and size is not None and size > max_bytes:
        hint = ("have it raised, ask for less, or try ", Setting("swap", "existing"))
        raise UsageError(asked, f"would not take effect, because {outer.file} is {format_size(max_bytes)}", hint)
    if not _may_swapon():
        raise UsageError(asked, "only root may switch swap on", "run as root, or try existing or off")
    if size is not None and size < _MIN_BYTES:
        larger = f"{setting.removesuffix(text)}4G"
        raise UsageError(asked, f"swap has at least {format_size(_MIN_BYTES)}", f"try {larger} or off")
    if kind == "zram" and size is not None:
        return Swap(int(min(size, max_bytes)), file=zram.make(size, PREFIX + session), kind="zram")
    return _open_file(asked, folder, session, size, max_bytes)


def _open_file(asked: Setting, folder: Path, session: str, size_bytes: int | None, max_bytes: float) -> Swap:
    """Return a temporary file of this size, or of as much as the disk can spare. Raises UsageError or Unsupported."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()  # /proc/swaps has neither links nor relative paths
    open_to_others = _open_to_others(folder)
    if open_to_others is not None:
        raise UsageError(
            asked,
            f"other users can write to {open_to_others}, so they could replace a swap file",
            ("chown or chmod it, name another folder with ", Setting("cache-dir"), ", or try ", Setting("swap", "off")),
        )
    free = shutil.disk_usage(folder).free
    size = min(AUTO_BYTES, (free - _MIN_FREE_BYTES) // 2) if size_bytes is None else size_bytes
    if size > free - _MIN_FREE_BYTES or size < _MIN_BYTES:
        raise UsageError(
            asked,
            f"{folder} has {format_size(free)} free, which is too little with {format_size(_MIN_FREE_BYTES)} to spare",
            (
                "free some space, try a smaller size or ",
                Setting("swap", "off"),
                ", or name another folder with ",
                Setting("cache-dir"),
            ),
        )
    return Swap(int(min(size, max_bytes)), file=_make(folder / f"{PREFIX}{session}.swap", size))


def _open_to_others(folder: Path) -> Path | None:
    """Return the folder, this or one around it, in which another user may rename files; the caller of sudo may."""
    trusted = {0, os.geteuid(), caller_id()}
    for each in (folder, *folder.parents):
        status = each.stat()
        is_shared = status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0)
        if status.st_uid not in trusted or (is_shared and not status.st_mode & stat.S_ISVTX):
            return each
    return None


def _may_swapon() -> bool:
    return os.geteuid() == 0 and shutil.which("swapon", path=PATH) is not None


def _make(path: Path, size: int) -> Path:
    # O_EXCL and O_NOFOLLOW: the file is new and ours. 0600: no other user may read swapped memory.
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refusal(path, size, error.strerror) from error
    try:
        # Also held by the programs below, which outlive us if we are killed; see _wait_for_makers().
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.posix_fallocate(fd, 0, size)
        switch_on(path, fds=(fd,))
    except (OSError, subprocess.CalledProcessError) as error:
        path.unlink(missing_ok=True)
        raise _refusal(path, size, reason_of(error)) from error
    finally:
        os.close(fd)
    return path


def _refusal(path: Path, size: int, reason: str | None) -> Unsupported:
    return Unsupported(
        Setting("swap"),
        f"a swap file of {format_size(size)} in {path.parent} cannot be switched on: {reason}",
        (
            "try ",
            Setting("swap", "existing"),
            " or ",
            Setting("swap", "off"),
            ", or name another folder with ",
            Setting("cache-dir"),
        ),
    )


def remove(path: Path) -> None:
    """Switch swapping to `path` off if it is on, even if its folder was moved, and remove the file."""
    # The folder may have been moved since, but the name is unique. The kernel keeps a file that is in use.
    for area in {path, *(area for area, _ in active() if area.name == path.name)}:
        if any(area == used for used, _ in active()):
            switch_off(area)
        area.unlink(missing_ok=True)


def sweep(folder: Path) -> list[str]:
    """Remove the swap files of dead sessions, in `folder` or in use, and their zram devices; return their names."""
    swept = zram.sweep()
    for path in sorted({*folder.resolve().glob(f"{PREFIX}*.swap"), *(path for path, _ in active())}):
        if path.suffix == ".swap" and is_abandoned(path.stem) and is_own(path):
            with suppress(OSError, subprocess.CalledProcessError):
                _wait_for_makers(path)
                remove(path)
                swept.append(path.name)
    return swept


def _wait_for_makers(path: Path) -> None:
    """Wait until no program of a killed session is still turning the file into a swap file.

    If it were removed just then, the machine would swap to it until it is restarted.
    """
    with suppress(FileNotFoundError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
