"""The copies of projects on a host. Runs on the host by execnet, and imports only the standard library.

A session locks its copy until its process ends, so no other session changes files below it. A second session of the
same project gets the next free copy. The copies that were used longest ago are removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil

_LOCK = re.compile(r"\.(?P<copy>[^.].*)\.lock", re.DOTALL)


def claim(projects: str, name: str, kept: int) -> tuple[str, list[str]]:
    """Lock a copy of the project `name` in the folder `projects`; return its folder, and the copies removed.

    `kept` copies that were used last stay, and all that are in use. Raises OSError.
    """
    os.makedirs(projects, exist_ok=True)
    number, copy = 1, name
    while _lock(projects, copy) is None:
        number += 1
        copy = f"{name}.{number}"
    folder = os.path.join(projects, copy)
    os.makedirs(folder, exist_ok=True)
    os.utime(_lock_of(projects, copy))
    return folder, _prune(projects, kept)


def _prune(projects: str, kept: int) -> list[str]:
    """Remove all copies but the `kept` ones used last and those in use. Return their names.

    A folder without a lock is not a copy of ours: the user may have chosen a folder with projects in it.
    """
    locks = [match for match in map(_LOCK.fullmatch, os.listdir(projects)) if match]
    copies = [match["copy"] for match in locks if os.path.isdir(os.path.join(projects, match["copy"]))]
    removed = []
    for name in sorted(copies, key=lambda name: _used(projects, name), reverse=True)[kept:]:
        lock = _lock(projects, name)
        if lock is not None:
            shutil.rmtree(os.path.join(projects, name), ignore_errors=True)
            os.unlink(_lock_of(projects, name))
            os.close(lock)
            removed.append(name)
    return removed


def _lock(projects: str, name: str) -> int | None:
    """Return a descriptor that holds the lock of a copy; None if another process holds it."""
    path = _lock_of(projects, name)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):  # in use, or just removed together with its copy
        pass
    os.close(descriptor)
    return None


def _lock_of(projects: str, name: str) -> str:
    return os.path.join(projects, f".{name}.lock")


def _used(projects: str, name: str) -> float:
    """Return the time of the last use of a copy; 0 if it is unknown."""
    try:
        return os.stat(_lock_of(projects, name)).st_mtime
    except OSError:
        return 0.0


if __name__ == "__channelexec__":
    channel.send(claim(*channel.receive()))  # type: ignore[name-defined]  # noqa: F821  # of execnet
