"""Code that both cgroup versions share: find the hierarchy; enter, kill, remove and sweep groups."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.sandbox.caps.outer import read_limits, smallest
from pytest_edgeload.sandbox.counters import Totals
from pytest_edgeload.sandbox.owner import belongs_to, is_abandoned, is_own

CONTAINER = "docker run --privileged --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw ..."
"""A command that starts a container in which groups can be created."""

PERIOD_US = 100_000  # the kernel's own default
_MIN_QUOTA_US = 1000  # the kernel accepts no less
_REMOVAL_S = 5.0  # a group stays busy until its last process is reaped
_POLL_S = 0.005
_ROOT, _POINT = 3, 4  # fields of a mountinfo file; see proc_pid_mountinfo(5)


def mount_of(fstype: str, option: str = "") -> tuple[Path, str] | None:
    """Return the mount point of a cgroup hierarchy and the group that is mounted there; see proc_pid_mountinfo(5)."""
    return mount_in(kernel_text.read("/proc/self/mountinfo"), fstype, option)


def mount_in(text: str, fstype: str, option: str = "") -> tuple[Path, str] | None:
    """Return the same from the text of a mountinfo file."""
    for line in kernel_text.lines(text):
        fields, _, tail = line.partition(" - ")
        words, (line_fstype, _, options) = fields.split(" "), (*tail.split(" ", 2), "", "", "")[:3]
        if line_fstype == fstype and (not option or option in options.split(",")) and len(words) > _POINT:
            return Path(kernel_text.unescaped(words[_POINT])), kernel_text.unescaped(words[_ROOT])
    return None


def own_group(mount: tuple[Path, str], controller: str, pid: int | None = None) -> Path:
    """Return the folder of the group of this process, or of `pid`; the mount point if the group is not visible.

    `controller` names the hierarchy in /proc/self/cgroup; it is empty for version 2.
    """
    point, root = mount
    path = group_in(kernel_text.read(f"/proc/{pid or 'self'}/cgroup"), controller)
    if path is not None:
        inside = point / os.path.relpath(path, root)
        if inside.resolve().is_relative_to(point) and inside.is_dir():
            return inside.resolve()
    return point


def group_in(text: str, controller: str) -> str | None:
    """Return the path of a process's group from the text of its /proc/PID/cgroup; None if the text has none."""
    for line in kernel_text.lines(text):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if path.startswith("/") and controller in controllers.split(","):
            return path
    return None


def refuse_read_only(point: Path) -> None:
    """Raise Unsupported if the hierarchy mounted at `point` is read-only, for root as well."""
    if os.statvfs(point).f_flag & os.ST_RDONLY:
        raise Unsupported(
            str(point),
            "mounted read-only, as in most containers",
            f"start the container as {CONTAINER}, or, if allowed: mount -o remount,rw,bind {point}",
        )


def chain(mount: tuple[Path, str], folder: Path) -> list[Path]:
    """Return the group in `folder` and all groups around it that are visible here, the nearest one first."""
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount[0]))]


def own_chains(*controllers: str) -> list[Path]:
    """Return the groups of this process, and those around them, in the hierarchies of these controllers.

    The hierarchy of the empty name is that of version 2.
    """
    mounts = {name: mount_of("cgroup", name) if name else mount_of("cgroup2") for name in controllers}
    chains = [chain(mount, own_group(mount, name)) for name, mount in mounts.items() if mount is not None]
    return list(dict.fromkeys(folder for each in chains for folder in each))


def refuse_more(around: Sequence[Path], asked_bytes: int | None) -> None:
    """Raise Unsupported if a group, or the groups `around` it together, have less memory than it asks for."""
    limits = smallest(limit for limit in read_limits(around) if limit.resource == "memory_bytes")
    if asked_bytes is not None and limits and asked_bytes > limits[0].value:
        raise Unsupported(
            f"memory limit {format_size(asked_bytes)}",
            f"would not take effect, because {limits[0].file} is {format_size(limits[0].value)}",
            "ask for less than that, or have it raised",
        )


def obstacle(parent: Callable[..., Path], *controllers: str) -> Unsupported | None:
    """Return why `parent` has no group in which groups with these controllers can be created; None if it has one."""
    try:
        parent(*controllers)
    except Unsupported as error:
        return error
    return None


def make(groups: Mapping[Path, Sequence[tuple[str, str]]]) -> tuple[Path, ...]:
    """Create the groups and write their settings, which are pairs of file and text; return their folders.

    Raises Unsupported and then leaves none behind; an existing group of that name stays as it is.
    """
    made: list[Path] = []
    for folder, settings in groups.items():
        try:
            folder.mkdir()
            made.append(folder)
            for file, text in settings:
                (folder / file).write_text(text)
        except OSError as error:
            with suppress(OSError):  # a group that is still busy is swept at the session's end
                remove_all(made)
            file = f" ({error.filename})" if folder in made else ""
            raise Unsupported(f"cgroup {folder}", f"could not be set up: {error.strerror}{file}") from error
    return tuple(made)


def quota(cpus: float) -> tuple[int, int]:
    """Return the microseconds of processor time of `cpus` processors, and the period that they are for."""
    return max(_MIN_QUOTA_US, round(cpus * PERIOD_US)), PERIOD_US


def enter(folder: Path) -> tuple[str, ...]:
    """Return the command prefix that joins the group and then becomes the command, so that all of it is counted."""
    return ("/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(folder / "cgroup.procs"))


def processes(parent: Path, max_count: int) -> list[tuple[str, str]]:
    """Return the setting that limits a group in `parent` to `max_count` processes and threads.

    The limit is at most half of that of the groups around it: pytest needs the rest to start the programs that end it.
    """
    around = (_number(folder / "pids.max") for folder in (parent, *parent.parents))
    return [("pids.max", str(min([max_count, *(number // 2 for number in around if number)])))]


def refusals(folder: Path, max_count: int | None) -> Totals:
    """Return how many processes the group was refused, and its limit; empty if nothing counts them (None).

    A refusal by a group around it counts as well.
    """
    if max_count is None:
        return Totals()
    events = kernel_text.entries(folder / "pids.events")
    return Totals(fork_refusals=events.get("max", 0), max_processes=max_count)


def max_processes(folder: Path) -> int | None:
    """Return the number of processes and threads that the group may have; None if nothing counts them."""
    return _number(folder / "pids.max")


def _number(file: Path) -> int | None:
    with suppress(OSError):
        return kernel_text.number(kernel_text.read(file))
    return None


def members(folder: Path) -> list[int]:
    """Return the processes in the group that have not ended. Raises OSError if the group is gone."""
    return kernel_text.whole(kernel_text.read(folder / "cgroup.procs").split())


def kill(folder: Path) -> None:
    """Kill every process of the group until none is left. Without a limit on processes a fork may outrun one pass."""
    with suppress(OSError):  # the file exists only if the kernel counts processes
        (folder / "pids.max").write_text("0")  # no process may fork from now on
    deadline = time.monotonic() + _REMOVAL_S
    while time.monotonic() < deadline:
        try:
            pids = members(folder)
        except OSError:
            return
        if not pids:
            return
        for pid in filter(None, pids):  # of a process in another PID namespace it is 0, which would mean our own
            with suppress(ProcessLookupError, PermissionError):  # a process that gained other rights is not ours to end
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def remove(folder: Path) -> None:
    """Remove the empty group, if it still exists. Raises OSError if it stays busy."""
    deadline = time.monotonic() + _REMOVAL_S
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return


def remove_all(folders: Sequence[Path]) -> None:
    """Remove as many of these groups as possible. Raises OSError for one that cannot be removed."""
    with ExitStack() as removing:
        for folder in folders:
            removing.callback(remove, folder)


def sweep(mount: tuple[Path, str] | None, session: str | None, end: Callable[[Path], None] = kill) -> list[str]:
    """Kill and remove the groups of `session`, or with None those of dead sessions; return their names.

    The whole hierarchy is searched, because a dead session may have been in another group than this one. Groups that
    another user created are left alone under any name: that user chose the processes in them.
    """
    is_ours = is_abandoned if session is None else partial(belongs_to, session=session)
    swept: list[str] = []
    for parent, names, _ in os.walk(mount[0]) if mount else ():
        for name in (name for name in names if is_ours(name) and is_own(Path(parent, name))):
            with suppress(OSError):  # the group is being removed, or busy
                end(Path(parent, name))
                remove(Path(parent, name))
                swept.append(name)
    return swept
