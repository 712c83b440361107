"""`systemd`: a cgroup v2 group in a scope that systemd's user manager gives to whoever asks; it takes no root.

See systemd.scope(5) and systemd-run(1). The scope is delegated, so the group in it is ours to limit, as `cgroup2` does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.caps.cgroup2 import Cgroup2
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Memory

if TYPE_CHECKING:
    from pytest_edgeload.sandbox.caps import Group

_SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect")
_MANAGER = ("systemctl", "--user", "show", "--property=ControlGroup", "--value")
_KEEPER = "-keeper"
_PING = b"up\n"
_PATIENCE_S = 10.0


class _Inside(Cgroup2):
    """Groups in one folder and in no other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _candidates(self) -> list[Path]:
        return [self._folder]


class _Scope:
    """A scope that lives as long as its keeper, a `cat` in it; that ends with us, for it reads from our pipe.

    systemd removes a scope when its last process ends. The keeper makes the group, and what the kernel counted in it,
    outlive a worker that was killed.
    """

    def __init__(self, name: str) -> None:
        # Sweeping shall find the group and the keeper's, not the scope, which then goes by itself.
        unit = f"around-{name}"
        command = (*_SCOPE, f"--unit={unit}", "--property=Delegate=yes", "cat")
        self._keeper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        is_there = self._answers()  # systemd-run becomes `cat` when the scope is there
        self.folder = hierarchy.own_group(_mount(), "", self._keeper.pid)
        if not is_there or self.folder.name != f"{unit}.scope":
            _, told = self._keeper.communicate()
            reason = told.decode(errors="replace").strip() or "its group is hidden from here, as by a container"
            raise Unsupported(f"scope {unit} could not be set up: {reason}")
        try:
            # A group that hands controllers on has no processes of its own.
            hierarchy.make({self.folder / f"{name}{_KEEPER}": [("cgroup.procs", str(self._keeper.pid))]})
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self._keeper.stdin is not None  # both are pipes
        assert self._keeper.stdout is not None
        with suppress(BrokenPipeError):
            self._keeper.stdin.write(_PING)
            self._keeper.stdin.flush()
        return self._keeper.stdout.readline() == _PING

    def close(self) -> None:
        self._keeper.communicate()  # its input ends, and so does it
        deadline = time.monotonic() + _PATIENCE_S
        # If the folder were gone before systemd looks, it would take the scope for alive.
        while self.folder.exists() and time.monotonic() < deadline:
            time.sleep(0.005)


class _Group:
    """The group, and the scope that is there for it alone."""

    def __init__(self, group: Group, scope: _Scope) -> None:
        # Who may not move processes between its session's group and the manager's has the manager do that: the worker
        # gets a scope of its own, which is gone when it has moved on from there into the group.
        self.enter = (*_SCOPE, *group.enter)
        self._group = group
        self._scope = scope

    def memory(self, pid: int) -> Memory | None:
        return self._group.memory(pid)

    def totals(self) -> dict[str, float]:
        return self._group.totals()

    def kill(self) -> None:
        self._group.kill()

    def close(self) -> None:
        try:
            self._group.close()
        finally:
            self._scope.close()


class Systemd:
    """Groups in scopes of the user manager."""

    enforces = True

    def unavailable(self) -> str | None:
        """Return why no group can be made here; None where it can."""
        return hierarchy.refusal(_check, "memory")

    def cannot_throttle(self) -> str | None:
        """Return why no group can throttle reads here; None where it can."""
        return hierarchy.refusal(_check, "io")

    def open(self, name: str, limits: Limits) -> _Group:
        """Have a scope made, and in it the group with its limits."""
        _check("memory")
        scope = _Scope(name)
        try:
            return _Group(_Inside(scope.folder).open(name, limits), scope)
        except BaseException:
            scope.close()
            raise

    def sweep(self, session: str | None) -> list[str]:
        """Remove groups of `session`, or of sessions that are gone."""
        return [name for name in Cgroup2().sweep(session) if not name.endswith(_KEEPER)]


def _mount() -> tuple[Path, str]:
    mount = hierarchy.mount_of("cgroup2")
    if mount is None:
        raise Unsupported("no cgroup v2 hierarchy is mounted, in which systemd could limit memory")
    return mount


def _check(*controllers: str) -> Path:
    """Return the folder of the user manager's group, which has these controllers. Raises Unsupported."""
    folder = _manager()
    given = (folder / "cgroup.controllers").read_text().split() if folder.is_dir() else []
    lacking = [name for name in controllers if name not in given]
    if lacking:
        raise Unsupported(
            f"systemd gives its user manager no {' and no '.join(lacking)} controller; have root put "
            "'[Service]' and 'Delegate=cpu cpuset io memory pids' into "
            "/etc/systemd/system/user@.service.d/delegate.conf and log in again"
        )
    return folder


def _manager() -> Path:
    if shutil.which("systemd-run") is None or shutil.which("systemctl") is None:
        raise Unsupported("systemd-run is not installed; install systemd, or try another cap")
    point, root = _mount()
    try:
        asked = subprocess.run(_MANAGER, check=True, capture_output=True, text=True, timeout=_PATIENCE_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        user = os.geteuid()
        raise Unsupported(
            f"no systemd user manager answers user {user}; log in as that user (su and sudo start none), or "
            f"run: loginctl enable-linger {user}; export XDG_RUNTIME_DIR=/run/user/{user}"
        ) from error
    return point / os.path.relpath(asked.stdout.strip() or "/", root)
