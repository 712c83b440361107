"""The project on a host: its own folder there, and the files that travel, by execnet's RSync."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import execnet

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.text import printable
from pytest_edgeload.hosts import copies
from pytest_edgeload.hosts.check import Examined
from pytest_edgeload.hosts.file import Host

LOST = (OSError, EOFError, execnet.RemoteError)
"""The errors of execnet if a host is lost, or if the code on it fails."""

LARGE_BYTES = 16 << 20
"""The size from which a file is copied into the cache of the host instead: RSync has whole files in memory."""

_NEVER = {"__pycache__", "node_modules"}
_HIDDEN_BUT_SENT = {".pytest_cache"}  # with the failures of the last session
_KEPT_COPIES = 10  # those of projects that were used longest ago are removed
_ENVIRONMENT = "pyvenv.cfg"


class Copy(NamedTuple):
    """The copy of a project on a host: its folder, and the names of old copies that were removed for it."""

    folder: str
    removed: tuple[str, ...]


def _name(project: Path) -> str:
    """Return the name of the copies of `project`, a folder of this machine."""
    digest = hashlib.sha256(f"{platform.node()}:{project}".encode(errors="surrogateescape")).hexdigest()[:8]
    name = re.sub(r"[^\w.-]", "-", project.name, flags=re.ASCII).lstrip(".") or "project"
    return f"{name}-{digest}"


def relocated(word: str, here: str, there: str) -> str:
    """Return an argument of pytest with the folder `there` instead of `here` in each path in or below it."""
    begin, end = r"(?:(?<![\w./~+@%-])|(?<=^-\w))", r"(?![\w.~+@%-])"  # of a path; the second begin is that of -cFILE
    return re.sub(f"{begin}{re.escape(here)}{end}", lambda _: there, word)


def cache_of(examined: Examined) -> str:
    """Return the cache folder on the host."""
    return os.path.join(examined.facts.folder, "cache")


def travels(path: str) -> bool:
    """Return whether a file or folder travels: all but hidden files, bytecode, environments, and anything but files.

    Raises UsageError for a name that is not UTF-8, which execnet cannot send.
    """
    name = os.path.basename(path)  # execnet has texts
    if (name.startswith(".") and name not in _HIDDEN_BUT_SENT) or name in _NEVER:
        return False
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(printable(path), "its name is not UTF-8, so no host can get it", "rename it") from error
    if os.path.isdir(path):
        return not os.path.exists(os.path.join(path, _ENVIRONMENT))
    return os.path.isfile(path) or os.path.islink(path)


def is_large(path: str) -> bool:
    """Return whether a path is that of a large file, or of a link to one; not if it has just been removed."""
    try:
        return os.path.isfile(path) and os.path.getsize(path) >= LARGE_BYTES
    except FileNotFoundError:
        return False


def large_files(project: Path) -> dict[str, Path]:
    """Return the large files of a project that travel, by their paths in it."""
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(project):
        folders[:] = [name for name in folders if travels(os.path.join(folder, name))]
        paths = [os.path.join(folder, name) for name in names]
        found |= {os.path.relpath(path, project): Path(path) for path in paths if travels(path) and is_large(path)}
    return found


class _Files(execnet.RSync):
    """The files of a project that travel by RSync."""

    def filter(self, path: str) -> bool:
        """Return whether a file or folder travels by RSync."""
        return travels(path) and not is_large(path)


def send(project: Path, gateway: Any, examined: Examined) -> Copy:
    """Return a copy of `project` on a host, equal to it now, which no other session changes. Raises Unsupported."""
    folder = os.path.join(examined.facts.folder, "projects")
    files = _Files(project, verbose=False)
    try:
        channel = gateway.remote_exec(copies)
        channel.send((folder, _name(project), _KEPT_COPIES))
        folder, removed = channel.receive()
        files.add_target(gateway, folder, delete=True)
        files.send()
    except LOST as error:
        hint = "free some space there, or name another folder in the file of hosts"
        raise Unsupported(f"{examined.host.name}: {folder}", reason_of(error), hint) from error
    return Copy(folder, tuple(removed))


def receive_large(channel: object, cache: str, folder: str) -> None:
    """Receive the large files of a project. Runs on the host, whose errors the controller has got as a message."""
    from contextlib import suppress  # noqa: PLC0415  # execnet sends the text of this function only
    from pathlib import Path  # noqa: PLC0415

    from pytest_edgeload.base.errors import Refusal  # noqa: PLC0415
    from pytest_edgeload.hosts.incoming import receive  # noqa: PLC0415

    with suppress(Refusal):
        receive(channel, Path(cache), Path(folder))


@contextmanager
def connecting(host: Host) -> Iterator[None]:
    """Turn execnet's errors into Unsupported with the name of the host."""
    try:
        yield
    except execnet.HostNotFound as error:
        raise Unsupported(host.name, "not reachable", f"try ssh {host.ssh} true") from error
    except LOST as error:
        raise Unsupported(host.name, reason_of(error)) from error


def reason_of(error: object) -> str:
    """Return the reason in an error of execnet: the last line that is not a detail, which would be indented."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line[0].isspace()]
    return printable(lines[-1]) if lines else "the connection was lost"


def enter(gateway: Any, folder: str) -> None:
    """Make `folder` the current folder of the interpreter behind a gateway."""
    gateway.remote_exec(f"import os; os.chdir({folder!r})").waitclose()
