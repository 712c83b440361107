"""What the two cgroup versions share: finding the hierarchy, entering, killing and removing a group, sweeping."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.sandbox.counters import flat
from pytest_edgeload.sandbox.owner import belongs_to, is_abandoned, is_own

CONTAINER = "docker run --privileged --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw ..."
"""How a container is started in which groups may be made."""

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


def refuse_read_only(point: Path) -> None:
    """Raise Unsupported where the hierarchy mounted at `point` is one to look at only, whoever asks."""
    if os.statvfs(point).f_flag & os.ST_RDONLY:
        raise Unsupported(
            f"{point} is mounted read-only, as in most containers; start the container as {CONTAINER}, "
            f"or where you may: mount -o remount,rw,bind {point}"
        )


def refuse_more(parent: Path, asked_bytes: int | None, most_bytes: int | None) -> None:
    """Raise Unsupported where a group in `parent` could not hold what it is asked to, as those above may not."""
    if asked_bytes is not None and most_bytes is not None and asked_bytes > most_bytes:
        raise Unsupported(
            f"a limit of {format_size(asked_bytes)} would not be the one that holds: {parent} may have "
            f"{format_size(most_bytes)} in all; ask for less than that, or have it raised"
        )


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


def processes(parent: Path, most: int) -> list[tuple[str, str]]:
    """Return what holds a group in `parent` to `most` processes and threads, or to half of what is allowed around it.

    The other half is for pytest, which has to start what ends it.
    """
    around = (_number(folder / "pids.max") for folder in (parent, *parent.parents))
    return [("pids.max", str(min([most, *(number // 2 for number in around if number)])))]


def refusals(folder: Path, most: int | None) -> dict[str, float]:
    """Return how often the group was refused a process, and how many it may have; nothing where that is not counted.

    What a group around it refuses is counted, too.
    """
    if most is None:
        return {}
    return {"fork_refusals": flat((folder / "pids.events").read_text())["max"], "most_processes": most}


def most_processes(folder: Path) -> int | None:
    """Return how many processes and threads the group may have; None where nothing counts them."""
    return _number(folder / "pids.max")


def _number(file: Path) -> int | None:
    with suppress(OSError, ValueError):  # `max` is no number
        return int(file.read_text())
    return None


def kill(folder: Path) -> None:
    """Kill every process of the group until none is left; without a bound on processes a fork may outrun one pass."""
    with suppress(OSError):  # where nothing counts processes, there is no such file
        (folder / "pids.max").write_text("0")  # none may fork from now on
    deadline = time.monotonic() + _REMOVAL_S
    while time.monotonic() < deadline:
        try:
            pids = [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
        except OSError:
            return
        if not pids:
            return
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):  # what gained other rights is not ours to end
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

    The whole hierarchy is searched: a session that is gone may have been in another group than this one. Groups that
    another user made are left alone, whatever they are called: who is in them was that user's choice.
    """
    is_ours = is_abandoned if session is None else partial(belongs_to, session=session)
    swept: list[str] = []
    for parent, names, _ in os.walk(mount[0]) if mount else ():
        for name in (name for name in names if is_ours(name) and is_own(Path(parent, name))):
            with suppress(OSError):  # it is going, or busy
                end(Path(parent, name))
                remove(Path(parent, name))
                swept.append(name)
    return swept
