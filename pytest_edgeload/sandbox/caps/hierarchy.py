"""What the two cgroup versions share: finding the hierarchy, entering, killing and removing a group, sweeping."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from pytest_edgeload.errors import Unsupported
from pytest_edgeload.sandbox.owner import belongs_to, is_abandoned

PERIOD_US = 100_000  # the kernel's own default
_REMOVAL_S = 5.0  # a group stays busy until its last process is reaped


def mount_of(fstype: str, option: str = "") -> tuple[Path, str] | None:
    """Return where a cgroup hierarchy is mounted, and which of its groups stands there; see proc_pid_mountinfo(5)."""
    return mount_in(Path("/proc/self/mountinfo").read_text(), fstype, option)


def mount_in(text: str, fstype: str, option: str = "") -> tuple[Path, str] | None:
    """Return the same of what a mountinfo says. Raises ValueError."""
    for line in text.splitlines():
        fields, _, tail = line.partition(" - ")
        found, _, options = tail.split(" ", 2)
        if found == fstype and (not option or option in options.split(",")):
            root, point = fields.split()[3:5]
            return Path(point), root
    return None


def own_group(mount: tuple[Path, str], controller: str, pid: int | None = None) -> Path:
    """Return the folder of the group this process, or `pid`, is in; the mount point where that is hidden from here.

    `controller` names the hierarchy in /proc/self/cgroup; it is empty for version 2.
    """
    point, root = mount
    for line in Path(f"/proc/{pid or 'self'}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            inside = point / os.path.relpath(path, root)
            if inside.resolve().is_relative_to(point) and inside.is_dir():
                return inside.resolve()
    return point


def refusal(parent: Callable[..., Path], *controllers: str) -> str | None:
    """Return why `parent` gives no group to make groups of these controllers in; None where it gives one."""
    try:
        parent(*controllers)
    except Unsupported as error:
        return str(error)
    return None


def make(groups: Mapping[Path, Sequence[tuple[str, str]]]) -> tuple[Path, ...]:
    """Make the groups, each with its settings: files and what to write into them; return their folders.

    Raises Unsupported, and then made none; a group of that name that is there already stays as it is.
    """
    made: list[Path] = []
    for folder, settings in groups.items():
        try:
            folder.mkdir()
            made.append(folder)
            for file, text in settings:
                (folder / file).write_text(text)
        except OSError as error:
            with suppress(OSError):  # what is still busy is swept at the session's end
                remove_all(made)
            file = f" ({error.filename})" if folder in made else ""
            raise Unsupported(f"cgroup {folder} could not be set up: {error.strerror}{file}") from error
    return tuple(made)


def quota(cpus: float) -> tuple[int, int]:
    """Return how many microseconds of processor time `cpus` processors are, and in how many microseconds."""
    return max(1000, round(cpus * PERIOD_US)), PERIOD_US  # the kernel takes no less


def enter(folder: Path) -> tuple[str, ...]:
    """Return the command prefix that joins the group and then becomes the command, so that all of it is counted."""
    return ("/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(folder / "cgroup.procs"))


def kill(folder: Path) -> None:
    """Kill every process of the group until none is left; a fork may outrun one pass."""
    deadline = time.monotonic() + _REMOVAL_S
    while time.monotonic() < deadline:
        try:
            pids = [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
        except OSError:
            return
        if not pids:
            return
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def remove(folder: Path) -> None:
    """Remove the empty group; a group that is gone already is fine."""
    deadline = time.monotonic() + _REMOVAL_S
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def remove_all(folders: Sequence[Path]) -> None:
    """Remove these groups, all that can be. Raises OSError for one that cannot."""
    with ExitStack() as removing:
        for folder in folders:
            removing.callback(remove, folder)


def sweep(mount: tuple[Path, str] | None, session: str | None, end: Callable[[Path], None] = kill) -> list[str]:
    """Kill and remove the groups that `session` made, or with None those whose session is gone.

    The whole hierarchy is searched: a session that is gone may have been in another group than this one.
    """
    is_ours = is_abandoned if session is None else partial(belongs_to, session=session)
    swept: list[str] = []
    for parent, names, _ in os.walk(mount[0]) if mount else ():
        for name in filter(is_ours, names):
            with suppress(OSError):  # another user's, then
                end(Path(parent, name))
                remove(Path(parent, name))
                swept.append(name)
    return swept
