"""`systemd`: a cgroup v2 group in a scope of systemd's user manager, which needs no root.

See systemd.scope(5) and systemd-run(1). The scope is delegated, so the group in it is limited as by `cgroup2`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.caps.cgroup2 import Cgroup2
from pytest_edgeload.sandbox.caps.outer import Outer, outer_of
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Memory, Totals

if TYPE_CHECKING:
    from pytest_edgeload.sandbox.caps import Group

_SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect")
_MANAGER = ("systemctl", "--user", "show", "--property=ControlGroup", "--value")
_KEEPER = "-keeper"
_PING = b"up\n"
_PATIENCE_S = 10.0

DELEGATE = (
    "have root write '[Service]' and 'Delegate=cpu cpuset io memory pids' to "
    "/etc/systemd/system/user@.service.d/delegate.conf"
)
"""The way to let the groups of a user have all controllers."""


class _ScopedCgroup2(Cgroup2):
    """Groups in one folder only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _candidates(self) -> list[Path]:
        return [self._folder]

    def _around(self, parent: Path) -> list[Path]:
        return hierarchy.chain(_mount(), parent)


class _Scope:
    """A scope that exists as long as its keeper, a `cat` that reads from our pipe and so ends with this process.

    systemd removes a scope when its last process ends. The keeper lets the group and its counts outlive a worker that
    was killed.
    """

    def __init__(self, name: str) -> None:
        # A sweep should find the group and the keeper's, but not the scope, which systemd then removes.
        unit = f"around-{name}"
        command = (*_SCOPE, f"--unit={unit}", "--property=Delegate=yes", "cat")
        self._keeper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        is_ready = self._answers()  # systemd-run becomes `cat` once the scope exists
        self.folder = hierarchy.own_group(_mount(), "", self._keeper.pid)
        if not is_ready or self.folder.name != f"{unit}.scope":
            _, errors = self._keeper.communicate()
            reason = errors.decode(errors="replace").strip() or "its group is not visible, as in a container"
            raise Unsupported(f"scope {unit}", f"could not be set up: {reason}")
        try:
            # A group that delegates controllers must not contain processes.
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
        self._keeper.communicate()  # ends with its input
        deadline = time.monotonic() + _PATIENCE_S
        # If the folder were removed before systemd looks, systemd would consider the scope alive.
        while self.folder.exists() and time.monotonic() < deadline:
            time.sleep(0.005)


class _SystemdGroup:
    """A group, and the scope that exists only for it."""

    def __init__(self, group: Group, scope: _Scope) -> None:
        # Without root a process cannot move from its session's group into one of the user manager's. So the manager
        # starts the worker in another scope, from which it moves into the group; that scope then disappears.
        self.enter = (*_SCOPE, *group.enter)
        self.counts_swap = group.counts_swap
        self._group = group
        self._scope = scope

    def memory(self, pid: int) -> Memory | None:
        return self._group.memory(pid)

    def totals(self, pid: int) -> Totals:
        return self._group.totals(pid)

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

    def unavailable(self, *, throttles: bool = False) -> Unsupported | None:
        """Return why no group can be created here, or throttle reads if it should; None if one can."""
        error = hierarchy.obstacle(_check, "memory")
        return hierarchy.obstacle(_check, "io") if throttles and error is None else error

    def outer(self) -> Outer:
        """Return the limits of the groups around the scopes of the user manager. Raises Unsupported."""
        return outer_of([*hierarchy.chain(_mount(), _check("memory")), *hierarchy.own_chains("cpu", "blkio")])

    def open(self, name: str, limits: Limits) -> _SystemdGroup:
        """Start a scope and create the group in it, with its limits. Raises Unsupported."""
        _check("memory")
        scope = _Scope(name)
        try:
            return _SystemdGroup(_ScopedCgroup2(scope.folder).open(name, limits), scope)
        except BaseException:
            scope.close()
            raise

    def sweep(self, session: str | None) -> list[str]:
        """Remove groups of `session`, or of dead sessions."""
        return [name for name in Cgroup2().sweep(session) if not name.endswith(_KEEPER)]


def _mount() -> tuple[Path, str]:
    mount = hierarchy.mount_of("cgroup2")
    if mount is None:
        raise Unsupported("no cgroup v2 hierarchy is mounted, which systemd needs to limit memory")
    return mount


def _check(*controllers: str) -> Path:
    """Return the folder of the user manager's group, which has these controllers. Raises Unsupported."""
    folder = _manager()
    available = kernel_text.read(folder / "cgroup.controllers").split() if folder.is_dir() else []
    missing = [name for name in controllers if name not in available]
    if missing:
        raise Unsupported(
            f"systemd gives its user manager no {' and no '.join(missing)} controller",
            hint=f"{DELEGATE}, and log in again",
        )
    return folder


def _manager() -> Path:
    if shutil.which("systemd-run") is None or shutil.which("systemctl") is None:
        raise Unsupported("systemd-run is not installed", hint="install systemd, or try another cap")
    point, root = _mount()
    try:
        answer = subprocess.run(_MANAGER, check=True, capture_output=True, timeout=_PATIENCE_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        user = os.geteuid()
        raise Unsupported(
            f"no systemd user manager answers user {user}",
            hint="log in as that user (su and sudo start no manager), or "
            f"run: loginctl enable-linger {user}; export XDG_RUNTIME_DIR=/run/user/{user}",
        ) from error
    return point / os.path.relpath(os.fsdecode(answer.stdout).strip() or "/", root)
