"""Checks of the hierarchies, the caps, their controllers, and the counters of a group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.case import LIMIT
from pytest_edgeload.sandbox import visible
from pytest_edgeload.sandbox.caps import CAPS, Cap, Group, choose, hierarchy, systemd
from pytest_edgeload.sandbox.caps.outer import below_machine
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Totals
from pytest_edgeload.sandbox.doctor.check import Check, failed
from pytest_edgeload.sandbox.owner import PREFIX, tag

_LIMIT = Constraints(memory_bytes=48 << 20)
_TAKEN_BYTES = 128 << 20
_TAKE = f"b'1' * {_TAKEN_BYTES}"
_PATIENCE_S = 60.0

_NO_MEMORY = (
    "boot with the kernel parameter cgroup_enable=memory (Raspberry Pi OS: in /boot/firmware/cmdline.txt), "
    "and mount it: mount -t cgroup2 none /sys/fs/cgroup"
)
_CONTAINER = f"mount -o remount,rw,bind /sys/fs/cgroup; for a container: {hierarchy.CONTAINER}"
_SCOPE = "systemd-run --user --scope -p Delegate=yes pytest ..., or log in where systemd runs a user manager"
_DELEGATE = f"a kernel that has it in version 2; without root {systemd.DELEGATE}, and log in again"
_NO_SWAP = "boot with the kernel parameter swapaccount=1 if the missing part concerns swap"
_HINTS = {
    "cgroup2": "boot with systemd.unified_cgroup_hierarchy=1; not needed where cgroup1 works",
    "cgroup1": "mount -t cgroup -o memory none /sys/fs/cgroup/memory; not needed where cgroup2 works",
    "systemd": "mount -t cgroup2 none /sys/fs/cgroup; not needed where another cap works",
}
_COUNTERS = {
    "peak_charged_bytes": ("peak of a group", "Linux 5.19 or newer has memory.peak"),
    "swap_in_bytes": ("swap traffic of a group", "cgroup v2 and a kernel whose memory.stat has pswpin"),
    "stall_s": ("stall time of a group", "cgroup v2, and the kernel parameter psi=1"),
}
_SETTINGS = {  # by controller: the setting to try in version 2, and in version 1
    "cpu": (("cpu.max", "50000 100000"), ("cpu.cfs_quota_us", "50000")),
    "cpuset": (("cpuset.cpus", "{cpu}"), ("cpuset.cpus", "{cpu}")),
    "io": (("io.max", ""), ("blkio.throttle.read_bps_device", "")),
    "pids": (("pids.max", "64"), ("pids.max", "64")),
}


def checks() -> list[Check]:
    """Return the checks."""
    name, cap = choose("auto")
    caps = {each: _cap(each, CAPS[each]) for each in CAPS if CAPS[each].enforces}
    is_enforced = cap.enforces and caps[name].ok
    chosen = Check("limit", "cap auto", is_enforced, name, "make one of the caps above work", "required")
    first = [_hierarchies(), _writable(), _delegation(), *caps.values(), chosen, _outer(cap)]
    return [*first, *(_inside(cap) if cap.enforces else _controllers(None)), _visible(cap)]


def _group_name(part: str) -> str:
    return f"{PREFIX}{tag(os.getpid())}-doctor-{part}"


def _hierarchies() -> Check:
    version_2, version_1 = hierarchy.mount_of("cgroup2"), hierarchy.mount_of("cgroup", "memory")
    available = _words(version_2[0] / "cgroup.controllers") if version_2 else []
    two = f"version 2 with {' '.join(available) or 'no controllers'}" if version_2 else ""
    one = "version 1 with memory" if version_1 else "version 1" if hierarchy.mount_of("cgroup") else ""
    found = ", ".join(filter(None, (two, one))) or "none is mounted"
    ok = version_1 is not None or "memory" in available
    return Check("limit", "memory controller", ok, found, _NO_MEMORY, "required")


def _words(file: Path) -> list[str]:
    try:
        return kernel_text.read(file).split()
    except OSError:
        return []


def _writable() -> Check:
    mounts = [mount for mount in (hierarchy.mount_of("cgroup2"), hierarchy.mount_of("cgroup", "memory")) if mount]
    locked = [str(point) for point, _ in mounts if os.statvfs(point).f_flag & os.ST_RDONLY]
    found = f"read-only: {', '.join(locked)}" if locked else "writable" if mounts else "none"
    return Check("limit", "cgroup file system", bool(mounts) and not locked, found, _CONTAINER)


def _delegation() -> Check:
    able = [name for name, cap in CAPS.items() if cap.enforces and cap.unavailable() is None]
    who = "as root" if os.geteuid() == 0 else "without root"
    found = f"{who}, by {' and '.join(able)}" if able else f"{who}, no group can be created"
    return Check("limit", "delegation", bool(able), found, _SCOPE, "informative")


def _outer(cap: Cap) -> Check:
    """Check that the groups around pytest leave the machine's memory, swap, processors and disks to the runs."""
    limits = below_machine(cap.outer().limits)
    hint = "have them raised, or measure below them: each row that they held back says so"
    return Check("limit", "no outer limits", not limits, ", ".join(map(str, limits)) or "none", hint, "informative")


def _visible(cap: Cap) -> Check:
    """Check that a program can be shown its limit."""
    what = "limit can be shown"
    try:
        visible.check(LIMIT, is_enforced=cap.enforces)
    except Refusal as error:
        return Check("limit", what, ok=False, found=error.reason, hint=error.hint, weight="informative")
    return Check("limit", what, ok=True, found=f"by {visible.source()}", weight="informative")


def _cap(name: str, cap: Cap) -> Check:
    """Check that a process that takes more memory than its limit is killed, and that this is counted."""
    what = f"cap {name}"
    obstacle = cap.unavailable()
    if obstacle is not None:
        return failed("limit", what, obstacle, hint=_HINTS[name], weight="informative")
    try:
        group = cap.open(_group_name("limit"), Limits(_LIMIT))
    except Unsupported as error:
        return failed("limit", what, error, hint=_NO_SWAP, weight="informative")
    try:
        status = _take(group)
        is_killed = status == -signal.SIGKILL and bool(group.totals(os.getpid()).get("oom_kills"))
    finally:
        group.kill()
        group.close()
    ending = "killed, and counted" if is_killed else f"not killed, status {status}"
    found = f"{format_size(_TAKEN_BYTES)} taken at a limit of {format_size(_LIMIT.memory_bytes or 0)}: {ending}"
    return Check("limit", what, is_killed, found, _HINTS[name], "informative")


def _take(group: Group) -> int | None:
    """Take memory in the group; return the exit status, or None after too long a time."""
    command = [*group.enter, sys.executable, "-I", "-S", "-c", _TAKE]
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, check=False, capture_output=True, timeout=_PATIENCE_S).returncode
    return None


def _inside(cap: Cap) -> list[Check]:
    """Return the checks in a group. It may swap, because a group that may not needs the accounting of swap."""
    name = _group_name("group")
    try:
        group = cap.open(name, Limits(_LIMIT, may_swap=True))
    except Unsupported as error:
        return [failed("limit", "a group", error), *_controllers(None)]
    try:
        folder = _folder(name)
        return [*_controllers(folder), _swap_limit(folder), *_counters(group.totals(os.getpid()))]
    finally:
        group.kill()
        group.close()


def _folder(name: str) -> Path:
    mounts = [mount for mount in (hierarchy.mount_of("cgroup2"), hierarchy.mount_of("cgroup", "memory")) if mount]
    return next(Path(parent, name) for point, _ in mounts for parent, names, _ in os.walk(point) if name in names)


def _swap_limit(folder: Path) -> Check:
    files = ("memory.swap.max", "memory.memsw.limit_in_bytes")
    file = next((file for file in files if (folder / file).exists()), None)
    return Check("limit", "swap can be forbidden", file is not None, file or f"no {' nor '.join(files)}", _NO_SWAP)


def _counters(totals: Totals) -> list[Check]:
    return [
        Check("metrics", what, key in totals, "counted" if key in totals else "not for a group", hint)
        for key, (what, hint) in _COUNTERS.items()
    ]


def _controllers(folder: Path | None) -> list[Check]:
    """Check the controllers besides memory: in the group `folder` of version 2, or in hierarchies of version 1."""
    cpu = str(min(os.sched_getaffinity(0)))
    is_version_2 = folder is not None and (folder / "cgroup.controllers").exists()
    checks = []
    for name, (new, old) in _SETTINGS.items():
        file, text = new if is_version_2 else old
        setting = (file, text.format(cpu=cpu))
        error = _version_2(folder, name, setting) if folder and is_version_2 else _version_1(name, setting)
        what = f"{name} controller"
        passed = Check("limit", what, ok=True, found=file)
        checks.append(passed if error is None else failed("limit", what, error, hint=_DELEGATE))
    return checks


def _version_2(folder: Path, controller: str, setting: tuple[str, str]) -> Unsupported | None:
    """Return why the group cannot have the controller; None if it can. Afterwards it is as before."""
    if controller not in _words(folder.parent / "cgroup.controllers"):
        return Unsupported(str(folder.parent), "has none")
    control, (file, text) = folder.parent / "cgroup.subtree_control", setting
    is_delegated = controller in _words(control)
    try:
        if not is_delegated:
            control.write_text(f"+{controller}")
        if text:
            (folder / file).write_text(text)
        return None if (folder / file).exists() else Unsupported(f"no {file}")
    except OSError as error:
        return Unsupported(str(folder.parent), f"does not delegate it: {error.strerror}")
    finally:
        if not is_delegated:
            with suppress(OSError):  # it was not delegated after all
                control.write_text(f"-{controller}")


def _version_1(controller: str, setting: tuple[str, str]) -> Unsupported | None:
    """Return why a group in the controller's own hierarchy cannot have the setting; None if it can."""
    (file, text), option = setting, "blkio" if controller == "io" else controller
    mount = hierarchy.mount_of("cgroup", option)
    if mount is None:
        return Unsupported("no cgroup v1 hierarchy has it, and no group of version 2 can be created")
    folder = hierarchy.own_group(mount, option) / _group_name(controller)
    try:
        [made] = hierarchy.make({folder: [(file, text)] if text else []})
    except Unsupported as error:
        return Unsupported(error.subject, error.reason, "run as root, on a writable cgroup file system")
    exists = (made / file).exists()
    hierarchy.remove(made)
    return None if exists else Unsupported(f"no {file}", hint="a kernel that was built with it")
