"""The swap of a session: the machine's own, a temporary file, or none."""

from __future__ import annotations

import fcntl
import math
import os
import re
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.base.units import format_size, parse_size
from pytest_edgeload.sandbox.owner import PREFIX, is_abandoned, is_own
from pytest_edgeload.sandbox.user import caller_id

if TYPE_CHECKING:
    from pytest_edgeload.sandbox.caps.outer import OuterLimit

AUTO_BYTES = 8 << 30  # as much as the machine of the 2020 study had
_MIN_FREE_BYTES = 1 << 30
_MIN_BYTES = 256 << 20
_SIZE = 2  # field of /proc/swaps
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"  # mkswap and swapon are often not on a user's own path


@dataclass(frozen=True, slots=True)
class Swap:
    """The swap of a session: its size, whether workers may use it, and its temporary file, if it has one."""

    size_bytes: int
    usable: bool = True
    file: Path | None = None

    def __str__(self) -> str:
        if not self.usable:
            return "off"
        return format_size(self.size_bytes) if self.size_bytes else "none"

    def close(self) -> None:
        """Switch the temporary file off and remove it; the machine's own swap is never touched. Raises Unsupported."""
        if self.file is not None:
            try:
                remove(self.file)
            except (OSError, subprocess.CalledProcessError) as error:
                hint = f"free some memory and run swapoff {self.file}, or let the next session try again"
                raise Unsupported("the swap file", f"cannot be removed: {_reason(error)}", hint) from error


def open_swap(setting: str, folder: Path, session: str, outer: OuterLimit | None = None) -> Swap:
    """Return the swap that `setting` asks for, or what the limit `outer` of the groups around leaves of it.

    `existing`: the machine's swap. `auto`: that, or else a temporary file if this process may switch one on. A size: a
    temporary file of that size. `off`: workers may not swap. Temporary files are in `folder` and have the name of
    `session`. Raises UsageError or Unsupported.
    """
    if setting == "off":
        return Swap(0, usable=False)
    existing = sum(size for path, size in active() if not path.name.startswith(PREFIX))
    max_bytes = math.inf if outer is None else outer.value
    if setting == "existing" or (setting == "auto" and (existing or not max_bytes or not _may_swapon())):
        return Swap(int(min(existing, max_bytes)))
    asked = Setting("swap", setting)
    if outer is not None and setting != "auto" and parse_size(setting) > max_bytes:
        hint = ("have it raised, ask for less, or try ", Setting("swap", "existing"))
        raise UsageError(asked, f"would not take effect, because {outer.file} is {format_size(max_bytes)}", hint)
    if not _may_swapon():
        raise UsageError(asked, "only root may switch swap on", "run as root, or try existing or off")
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
    size = min(AUTO_BYTES, (free - _MIN_FREE_BYTES) // 2) if setting == "auto" else parse_size(setting)
    if setting != "auto" and size < _MIN_BYTES:
        raise UsageError(asked, f"a swap file has at least {format_size(_MIN_BYTES)}", "try 4G or off")
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
    return os.geteuid() == 0 and shutil.which("swapon", path=_PATH) is not None


def active() -> list[tuple[Path, int]]:
    """Return the files and partitions that the machine swaps to, with their sizes in bytes."""
    swaps = Path("/proc/swaps")
    return areas(kernel_text.read(swaps)) if swaps.exists() else []


def areas(text: str) -> list[tuple[Path, int]]:
    """Return the same from the text of a /proc/swaps."""
    rows = (re.split(r"[ \t]+", line) for line in kernel_text.lines(text)[1:])
    sizes = ((row[0], kernel_text.number(row[_SIZE])) for row in rows if len(row) > _SIZE)
    return [(Path(kernel_text.unescaped(path)), kib * 1024) for path, kib in sizes if kib is not None]


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
        _run("mkswap", path, fd)
        _run("swapon", path, fd)
    except (OSError, subprocess.CalledProcessError) as error:
        path.unlink(missing_ok=True)
        raise _refusal(path, size, _reason(error)) from error
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


def _reason(error: OSError | subprocess.CalledProcessError) -> str | None:
    return error.stderr.strip().rstrip(".") if isinstance(error, subprocess.CalledProcessError) else error.strerror


def remove(path: Path) -> None:
    """Switch swapping to `path` off if it is on, even if its folder was moved, and remove the file."""
    # The folder may have been moved since, but the name is unique. The kernel keeps a file that is in use.
    for area in {path, *(area for area, _ in active() if area.name == path.name)}:
        if any(area == used for used, _ in active()):
            _run("swapoff", area)
        area.unlink(missing_ok=True)


def sweep(folder: Path) -> list[str]:
    """Remove the swap files of dead sessions, in `folder` or in use; return their names."""
    swept = []
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


def _run(command: str, path: Path, *fds: int) -> None:
    program = shutil.which(command, path=_PATH)
    if program is None:
        raise FileNotFoundError(2, f"{command} is not installed (Debian package util-linux)")
    # In a session of its own, so that Ctrl-C does not interrupt it.
    subprocess.run(
        [program, path], check=True, capture_output=True, text=True, errors="replace", start_new_session=True,
        pass_fds=fds,
    )  # fmt: skip
