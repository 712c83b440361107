"""Names for what a session creates on the machine, from which anyone can tell whether that session still lives."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_edgeload.sandbox import counters

PREFIX = "edgeload-"
_NAME = re.compile(rf"{PREFIX}(?P<pid>\d+)-(?P<start>\d+)-(?P<space>\d+)(-[\w.-]+)?")
_START = 19  # field of `counters.stat`


def tag(pid: int) -> str:
    """Return the tag of the living process `pid`, which no other process of this boot shares.

    It is the process's id, its start time, and the PID namespace in which the id means this process.
    """
    start = _start(pid)
    if start is None:
        raise ProcessLookupError(f"no process {pid}")
    return f"{pid}-{start}-{_space()}"


def is_abandoned(name: str) -> bool:
    """Tell whether `name` is one of ours (`edgeload-PID-START-SPACE...`) and its session is gone.

    Of a session in another PID namespace, a container's, nobody out here can tell, so it never is.
    """
    match = _NAME.fullmatch(name)
    if match is None or int(match["space"]) != _space():
        return False
    return _start(int(match["pid"])) != int(match["start"])


def is_own(path: Path) -> bool:
    """Tell whether this user made what stands at `path`, be it a link: a name of ours that others gave is not ours."""
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def belongs_to(name: str, session: str) -> bool:
    """Tell whether `name` was given by the session with the tag `session`."""
    return name == PREFIX + session or name.startswith(f"{PREFIX}{session}-")


def _space() -> int:
    return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116  # follows the link, as pid_namespaces(7) has it


def _start(pid: int) -> int | None:
    try:
        fields = counters.stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[_START])
