"""The same state of the machine before each run: weights are not in the page cache, and free memory is present."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from pytest_edgeload.base import kernel_text
from pytest_edgeload.sandbox import touch

_BALLOON_DEVICE = 5
_REPORTS_FREE_PAGES = 5  # feature bit; virtio specification 1.2, section 5.5.3, VIRTIO_BALLOON_F_PAGE_REPORTING


def drop(files: Iterable[Path]) -> None:
    """Drop the clean pages of `files` from the page cache; see posix_fadvise(2)."""
    for file in files:
        # Without O_NONBLOCK, a FIFO would wait for its other end.
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def files_named(words: Iterable[object], folder: str) -> list[Path]:
    """Return the readable files that `words` name, as seen from `folder`: `FILE` or `--option=FILE`.

    Any other word is ignored.
    """
    names = [name for word in words for name in _names_in(word)]
    return [path for name in names if (path := _readable(folder, name)) is not None]


def _names_in(word: object) -> list[str | os.PathLike[str]]:
    """Return the names of files that `word` can mean: the word itself, or the value of an option."""
    if isinstance(word, str) and word.startswith("-"):
        return [word, word.partition("=")[2]]
    return [word] if isinstance(word, str | os.PathLike) else []


def _readable(folder: str, name: str | os.PathLike[str]) -> Path | None:
    """Return the path of `name`, as seen from `folder`, if it is a file that this process can read."""
    with suppress(OSError, ValueError, TypeError):  # too long, or not a path
        path = Path(folder, name)
        if path.is_file() and os.access(path, os.R_OK):
            return path
    return None


def gives_memory_back() -> bool:
    """Return whether this is a virtual machine that returns free memory to its host.

    There the first touch of such memory takes seconds per gigabyte, and it would be chance which run pays for it.
    """
    for device in Path("/sys/bus/virtio/devices").glob("*"):
        try:
            is_balloon = int(kernel_text.read(device / "device"), 16) == _BALLOON_DEVICE
            if is_balloon and kernel_text.read(device / "features")[_REPORTS_FREE_PAGES] == "1":
                return True
        except (OSError, ValueError, IndexError):
            continue
    return False


def back(size_bytes: int, max_s: float) -> None:
    """Make sure that the next `size_bytes` taken from the system are present, on a machine that gives memory back.

    It stops after `max_s` seconds.
    """
    size_bytes = min(size_bytes, psutil.virtual_memory().available // 2)
    if size_bytes > 0 and gives_memory_back():
        # In another process: if this exceeds a limit of pytest itself, the kernel kills that process.
        with suppress(subprocess.TimeoutExpired):
            command = [sys.executable, "-I", "-S", touch.__file__, str(size_bytes)]
            subprocess.run(command, check=False, timeout=max(0.0, max_s))
