"""Brings the machine into the same state before each run: weights not in the page cache, memory really there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from pytest_edgeload.sandbox import touch

_BALLOON_DEVICE = 5
_REPORTS_FREE_PAGES = 5  # feature bit; virtio specification 1.2, section 5.5.3, VIRTIO_BALLOON_F_PAGE_REPORTING


def drop(files: Iterable[Path]) -> None:
    """Drop the clean pages of `files` from the page cache; see posix_fadvise(2)."""
    for file in files:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for its other end
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def named(words: Iterable[object], folder: str) -> list[Path]:
    """Return the files that can be read among `words` that may be paths, seen from `folder`."""
    found = []
    for word in words:
        if isinstance(word, str | os.PathLike):
            with suppress(OSError, ValueError, TypeError):  # too long, or otherwise no path
                path = Path(folder, word)
                if path.is_file() and os.access(path, os.R_OK):
                    found.append(path)
    return found


def gives_memory_back() -> bool:
    """Tell whether this is a virtual machine that hands free memory back to its host.

    There the first touch of such memory takes seconds a gigabyte, and which run pays for it is chance.
    """
    for device in Path("/sys/bus/virtio/devices").glob("*"):
        try:
            is_balloon = int((device / "device").read_text(), 16) == _BALLOON_DEVICE
            if is_balloon and (device / "features").read_text()[_REPORTS_FREE_PAGES] == "1":
                return True
        except (OSError, ValueError, IndexError):
            continue
    return False


def back(size_bytes: int) -> None:
    """Make sure that the next `size_bytes` taken from the system are there, on a machine that gives memory back."""
    size_bytes = min(size_bytes, psutil.virtual_memory().available // 2)
    if size_bytes > 0 and gives_memory_back():
        # In a process of its own: should that be too much for a limit pytest itself is under, this is what is killed.
        subprocess.run([sys.executable, "-I", "-S", touch.__file__, str(size_bytes)], check=False)
