"""Areas that the machine swaps to, files and block devices: which there are, switched on, switched off."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from pytest_edgeload.base import kernel_text

PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Where mkswap and swapon are: often not on a user's own path."""

_SIZE = 2  # field of /proc/swaps


def active() -> list[tuple[Path, int]]:
    """Return the files and partitions that the machine swaps to, with their sizes in bytes."""
    swaps = Path("/proc/swaps")
    return areas(kernel_text.read(swaps)) if swaps.exists() else []


def areas(text: str) -> list[tuple[Path, int]]:
    """Return the same from the text of a /proc/swaps."""
    rows = (re.split(r"[ \t]+", line) for line in kernel_text.lines(text)[1:])
    sizes = ((row[0], kernel_text.number(row[_SIZE])) for row in rows if len(row) > _SIZE)
    return [(Path(kernel_text.unescaped(path)), kib * 1024) for path, kib in sizes if kib is not None]


def switch_on(path: Path, *options: str, fds: tuple[int, ...] = ()) -> None:
    """Prepare an area and let the machine swap to it; `fds` stay open meanwhile, even if this process is killed.

    Raises OSError or CalledProcessError.
    """
    _run("mkswap", path, fds=fds)
    _run("swapon", *options, path, fds=fds)


def switch_off(path: Path) -> None:
    """Move what is in an area back to memory, and let the machine swap to it no more.

    Raises OSError or CalledProcessError.
    """
    _run("swapoff", path)


def reason_of(error: OSError | subprocess.CalledProcessError) -> str | None:
    """Return why an area could not be switched on or off."""
    return error.stderr.strip().rstrip(".") if isinstance(error, subprocess.CalledProcessError) else error.strerror


def _run(command: str, *words: str | Path, fds: tuple[int, ...] = ()) -> None:
    program = shutil.which(command, path=PATH)
    if program is None:
        raise FileNotFoundError(2, f"{command} is not installed (Debian package util-linux)")
    # In a session of its own, so that Ctrl-C does not interrupt it.
    subprocess.run(
        [program, *words], check=True, capture_output=True, text=True, errors="replace", start_new_session=True,
        pass_fds=fds,
    )  # fmt: skip
