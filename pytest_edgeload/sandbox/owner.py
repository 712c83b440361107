"""Names for everything that a session creates on the machine. They show whether that session still lives."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_edgeload.sandbox import counters

PREFIX = "edgeload-"
_NAME = re.compile(rf"{PREFIX}(?P<pid>\d+)-(?P<start>\d+)-(?P<namespace>\d+)(-[\w.-]+)?")


def tag(pid: int) -> str:
    """Return the tag of the living process `pid`, which no other process of this boot has.

    It is the process's id, its start time, and the PID namespace of the id. Raises ProcessLookupError.
    """
    start = _start(pid)
    if start is None:
        raise ProcessLookupError(f"no process {pid}")
    return f"{pid}-{start}-{_namespace()}"


def is_abandoned(name: str) -> bool:
    """Return whether `name` is that of a session (`edgeload-PID-START-NAMESPACE...`) that is dead.

    A session in another PID namespace, as in a container, is not visible from here, so it never counts as dead.
    """
    match = _NAME.fullmatch(name)
    if match is None or int(match["namespace"]) != _namespace():
        return False
    return _start(int(match["pid"])) != int(match["start"])


def is_own(path: Path) -> bool:
    """Return whether this user created the file or link `path`: another user may give it a name of ours."""
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def belongs_to(name: str, session: str) -> bool:
    """Return whether the session with the tag `session` gave this name."""
    return name == PREFIX + session or name.startswith(f"{PREFIX}{session}-")


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116  # follows the link, as in pid_namespaces(7)


def _start(pid: int) -> int | None:
    try:
        fields = counters.stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields.state == "Z" else fields.start_ticks
