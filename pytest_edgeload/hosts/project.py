"""The project on a host: its own folder there, and the files that travel, by execnet's RSync."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from pathlib import Path
from typing import Any

import execnet

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.text import printable
from pytest_edgeload.hosts.check import Examined

_NEVER = {"__pycache__", "node_modules"}
_HIDDEN_BUT_SENT = {".pytest_cache"}  # with the failures of the last session
_ENVIRONMENT = "pyvenv.cfg"


def folder_of(examined: Examined, project: Path) -> str:
    """Return the folder on the host for `project`, a folder of this machine: each copy of it has its own."""
    digest = hashlib.sha256(f"{platform.node()}:{project}".encode(errors="surrogateescape")).hexdigest()[:8]
    name = re.sub(r"[^\w.-]", "-", project.name, flags=re.ASCII) or "project"
    return os.path.join(examined.facts.folder, "projects", f"{name}-{digest}")  # a path of the host


def cache_of(examined: Examined) -> str:
    """Return the cache folder on the host."""
    return os.path.join(examined.facts.folder, "cache")


class _Files(execnet.RSync):
    """The files of a project that travel: all but hidden files, bytecode, environments, and anything but files."""

    def filter(self, path: str) -> bool:
        """Return whether a file or folder travels."""
        name = os.path.basename(path)  # execnet has texts
        if (name.startswith(".") and name not in _HIDDEN_BUT_SENT) or name in _NEVER:
            return False
        if os.path.isdir(path):
            return not os.path.exists(os.path.join(path, _ENVIRONMENT))
        return os.path.isfile(path) or os.path.islink(path)


def send(project: Path, gateway: Any, examined: Examined) -> None:
    """Make the copy of `project` on a host equal to it. Raises Unsupported."""
    folder = folder_of(examined, project)
    files = _Files(project, verbose=False)
    try:
        files.add_target(gateway, folder, delete=True)
        files.send()
    except (OSError, EOFError, execnet.RemoteError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = printable(lines[-1]) if lines else "the connection was lost"
        hint = "free some space there, or name another folder in the file of hosts"
        raise Unsupported(f"{examined.host.name}: {folder}", reason, hint) from error


def enter(gateway: Any, folder: str) -> None:
    """Make `folder` the current folder of the interpreter behind a gateway."""
    gateway.remote_exec(f"import os; os.chdir({folder!r})").waitclose()
