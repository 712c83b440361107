"""Checks of the user that workers run as: a process with a worker's rights tries forbidden actions."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.doctor.check import Check, failed
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


def checks() -> list[Check]:
    """Return the check."""
    what, user = "workers without root", choose(AUTO)
    if user.refusal is not None:
        return [failed("rights", what, user.refusal)]
    if user.ids is None:
        return [Check("rights", what, ok=True, found=f"as {user.name}, as this process", weight="informative")]
    with tempfile.NamedTemporaryFile() as file:
        command = [*user.become, sys.executable, "-I", "-S", "-c", _TRY, file.name, *map(str, _groups())]
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    acts = done.stdout.splitlines()
    ok = acts == [_READ]
    words = "read root's files, and no more" if ok else ", ".join(acts) or done.stderr.strip()
    return [Check("rights", what, ok, f"as {user.name}: may {words}", "a kernel that enforces it")]


def _groups() -> list[Path]:
    """Return the files that move a process into this process's groups, if this process may write to them."""
    mounts = {"": hierarchy.mount_of("cgroup2"), "memory": hierarchy.mount_of("cgroup", "memory")}
    files = (hierarchy.own_group(mount, name) / "cgroup.procs" for name, mount in mounts.items() if mount)
    return [file for file in files if os.access(file, os.W_OK)]
