"""What holds a worker: the hierarchies, the caps, their controllers, and what a group counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox.caps import CAPS, Cap, Group, choose, hierarchy
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.doctor.row import Row, refused
from pytest_edgeload.sandbox.owner import PREFIX, tag

_LIMIT = 48 << 20
_MORE = 128 << 20
_TOUCH = f"b'1' * {_MORE}"
_PATIENCE_S = 60.0

_NO_MEMORY = (
    "boot with the kernel parameter cgroup_enable=memory (Raspberry Pi OS: in /boot/firmware/cmdline.txt), "
    "and mount it: mount -t cgroup2 none /sys/fs/cgroup"
)
_CONTAINER = f"mount -o remount,rw,bind /sys/fs/cgroup; for a container: {hierarchy.CONTAINER}"
_DELEGATE = "systemd-run --user --scope -p Delegate=yes pytest ..., or log in where systemd runs a user manager"
_HAND_ON = (
    "a kernel that has it in version 2; without root have root put '[Service]' and "
    "'Delegate=cpu cpuset io memory pids' into /etc/systemd/system/user@.service.d/delegate.conf, and log in again"
)
_NO_SWAP = "boot with the kernel parameter swapaccount=1 if what is missing has to do with swap"
_ELSE = {
    "cgroup2": "boot with systemd.unified_cgroup_hierarchy=1; not needed where cgroup1 works",
    "cgroup1": "mount -t cgroup -o memory none /sys/fs/cgroup/memory; not needed where cgroup2 works",
    "systemd": "mount -t cgroup2 none /sys/fs/cgroup; not needed where another cap works",
}
_COUNTS = {
    "peak_charged_bytes": ("peak of a group", "Linux 5.19 or newer has memory.peak"),
    "swap_in_bytes": ("swap traffic of a group", "cgroup v2 and a kernel whose memory.stat has pswpin"),
    "stall_s": ("stall time of a group", "cgroup v2, and the kernel parameter psi=1"),
}
_SETTINGS = {  # controller: what is tried in version 2, and in version 1
    "cpu": (("cpu.max", "50000 100000"), ("cpu.cfs_quota_us", "50000")),
    "cpuset": (("cpuset.cpus", "{cpu}"), ("cpuset.cpus", "{cpu}")),
    "io": (("io.max", ""), ("blkio.throttle.read_bps_device", "")),
    "pids": (("pids.max", "64"), ("pids.max", "64")),
}


def rows() -> list[Row]:
    """Return all of it."""
    name, cap = choose("auto")
    caps = {each: _cap(each, CAPS[each]) for each in CAPS if CAPS[each].enforces}
    holds = cap.enforces and caps[name].ok
    chosen = Row("limit", "--edge-cap=auto", holds, name, "get one of the caps above", "required")
    found = [_hierarchies(), _writable(), _delegation(), *caps.values(), chosen]
    return [*found, *(_inside(cap) if cap.enforces else _controllers(None))]


def _name(part: str) -> str:
    return f"{PREFIX}{tag(os.getpid())}-doctor-{part}"


def _hierarchies() -> Row:
    unified, old = hierarchy.mount_of("cgroup2"), hierarchy.mount_of("cgroup", "memory")
    given = _words(unified[0] / "cgroup.controllers") if unified else []
    two = f"version 2 with {' '.join(given) or 'no controllers'}" if unified else ""
    one = "version 1 with memory" if old else "version 1" if hierarchy.mount_of("cgroup") else ""
    found = ", ".join(filter(None, (two, one))) or "none is mounted"
    return Row("limit", "memory controller", old is not None or "memory" in given, found, _NO_MEMORY, "required")


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _writable() -> Row:
    mounts = [mount for mount in (hierarchy.mount_of("cgroup2"), hierarchy.mount_of("cgroup", "memory")) if mount]
    locked = [str(point) for point, _ in mounts if os.statvfs(point).f_flag & os.ST_RDONLY]
    found = f"read-only: {', '.join(locked)}" if locked else "writable" if mounts else "none"
    return Row("limit", "cgroup file system", bool(mounts) and not locked, found, _CONTAINER)


def _delegation() -> Row:
    able = [name for name, cap in CAPS.items() if cap.enforces and cap.unavailable() is None]
    who = "as root" if os.geteuid() == 0 else "without root"
    found = f"{who}, by {' and '.join(able)}" if able else f"{who}, no group may be made"
    return Row("limit", "delegation", bool(able), found, _DELEGATE, "told")


def _cap(name: str, cap: Cap) -> Row:
    """Have a process take more than its limit, and see whether it is killed and counted."""
    what = f"cap {name}"
    reason = cap.unavailable()
    if reason is not None:
        return refused("limit", what, reason, way_out=_ELSE[name], weight="told")
    try:
        group = cap.open(_name("limit"), Limits(Constraints(_LIMIT)))
    except Unsupported as error:
        return refused("limit", what, str(error), way_out=_NO_SWAP, weight="told")
    try:
        status = _take(group)
        is_killed = status == -signal.SIGKILL and bool(group.totals().get("oom_kills"))
    finally:
        group.kill()
        group.close()
    ending = "killed, and counted" if is_killed else f"not killed, status {status}"
    found = f"{format_size(_MORE)} taken at a limit of {format_size(_LIMIT)}: {ending}"
    return Row("limit", what, is_killed, found, _ELSE[name], "told")


def _take(group: Group) -> int | None:
    """Take memory in the group; return the exit status, None where it took too long."""
    command = [*group.enter, sys.executable, "-I", "-S", "-c", _TOUCH]
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, check=False, capture_output=True, timeout=_PATIENCE_S).returncode
    return None


def _inside(cap: Cap) -> list[Row]:
    """Return what a group has and counts; it may swap, as that takes no accounting of swap."""
    name = _name("group")
    try:
        made = cap.open(name, Limits(Constraints(_LIMIT), may_swap=True))
    except Unsupported as error:
        return [refused("limit", "a group", str(error)), *_controllers(None)]
    try:
        folder = _folder(name)
        return [*_controllers(folder), _accounting(folder), *_counts(made.totals())]
    finally:
        made.kill()
        made.close()


def _folder(name: str) -> Path:
    mounts = [mount for mount in (hierarchy.mount_of("cgroup2"), hierarchy.mount_of("cgroup", "memory")) if mount]
    return next(Path(parent, name) for point, _ in mounts for parent, names, _ in os.walk(point) if name in names)


def _accounting(folder: Path) -> Row:
    files = ("memory.swap.max", "memory.memsw.limit_in_bytes")
    found = next((file for file in files if (folder / file).exists()), None)
    return Row("limit", "swap can be forbidden", found is not None, found or f"no {' nor '.join(files)}", _NO_SWAP)


def _counts(totals: Mapping[str, float]) -> list[Row]:
    return [
        Row("metrics", what, key in totals, "counted" if key in totals else "not for a group", way_out)
        for key, (what, way_out) in _COUNTS.items()
    ]


def _controllers(folder: Path | None) -> list[Row]:
    """Return which controllers beside memory are usable: in the group at `folder`, or in hierarchies of version 1."""
    cpu = str(min(os.sched_getaffinity(0)))
    is_unified = folder is not None and (folder / "cgroup.controllers").exists()
    found = []
    for name, (new, old) in _SETTINGS.items():
        file, text = new if is_unified else old
        setting = (file, text.format(cpu=cpu))
        reason = _unified(folder, name, setting) if folder and is_unified else _separate(name, setting)
        what = f"{name} controller"
        found.append(
            Row("limit", what, ok=True, found=file)
            if reason is None
            else refused("limit", what, reason, way_out=_HAND_ON)
        )
    return found


def _unified(folder: Path, controller: str, setting: tuple[str, str]) -> str | None:
    """Return why the group cannot have the controller; None where it can. It is as before afterwards."""
    if controller not in _words(folder.parent / "cgroup.controllers"):
        return f"{folder.parent} has none"
    control, (file, text) = folder.parent / "cgroup.subtree_control", setting
    was = controller in _words(control)
    try:
        if not was:
            control.write_text(f"+{controller}")
        if text:
            (folder / file).write_text(text)
        return None if (folder / file).exists() else f"no {file}"
    except OSError as error:
        return f"{folder.parent} does not hand it on: {error.strerror}"
    finally:
        if not was:
            with suppress(OSError):  # there was nothing to take back
                control.write_text(f"-{controller}")


def _separate(controller: str, setting: tuple[str, str]) -> str | None:
    """Return why a group in the controller's own hierarchy cannot have the setting; None where it can."""
    (file, text), option = setting, "blkio" if controller == "io" else controller
    mount = hierarchy.mount_of("cgroup", option)
    if mount is None:
        return f"no cgroup v1 hierarchy has it, and no group of version 2 is to be had; {_HAND_ON}"
    folder = hierarchy.own_group(mount, option) / _name(controller)
    try:
        [made] = hierarchy.make({folder: [(file, text)] if text else []})
    except Unsupported as error:
        return f"{str(error).rpartition(': ')[2]}; run as root, where the cgroup file system may be written to"
    there = (made / file).exists()
    hierarchy.remove(made)
    return None if there else f"no {file}; the kernel was built without it"
