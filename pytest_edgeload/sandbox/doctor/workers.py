"""As whom workers of a session run, and what such a process may do: it tries what it must not be able to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.doctor.row import Row, refused
from pytest_edgeload.sandbox.user import AUTO, choose

_READ = "read it"
_TRY = f"""
import os, sys
file, *groups = sys.argv[1:]
acts = [("{_READ}", lambda: open(file).close()), ("write to it", lambda: open(file, "r+").close())]
acts += [("signal this process", lambda: os.kill(os.getppid(), 0))]
acts += [("move into " + group, lambda: open(group, "r+").close()) for group in groups]
for name, act in acts:
    try:
        act()
        print(name)
    except OSError:
        pass
"""


def rows() -> list[Row]:
    """Return it."""
    what, user = "workers without root", choose(AUTO)
    if user.notice:
        return [refused("rights", what, user.notice.partition("; ")[2])]
    if user.ids is None:
        return [Row("rights", what, ok=True, found=f"as {user.name}, as this process", weight="told")]
    with tempfile.NamedTemporaryFile() as file:
        command = [*user.become, sys.executable, "-I", "-S", "-c", _TRY, file.name, *map(str, _groups())]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    may = done.stdout.splitlines()
    ok = may == [_READ]
    found = "read root's files, and no more" if ok else ", ".join(may)
    return [Row("rights", what, ok, f"as {user.name}: may {found or done.stderr.strip()}", "a kernel that enforces it")]


def _groups() -> list[Path]:
    """Return what a process writes to that moves into the groups which this one is in."""
    mounts = {"": hierarchy.mount_of("cgroup2"), "memory": hierarchy.mount_of("cgroup", "memory")}
    places = (hierarchy.own_group(mount, name) / "cgroup.procs" for name, mount in mounts.items() if mount)
    return [place for place in places if os.access(place, os.W_OK)]
