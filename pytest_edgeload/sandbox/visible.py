"""The memory that a program sees: that of the host, or its limit, in namespaces of its own.

Programs read how much memory there is from /proc/meminfo, /proc/swaps and the files of their cgroup. In the view
`limit` a run has a mount namespace in which these files show its limit. The namespace ends with the last process in it.

See mount_namespaces(7), cgroup_namespaces(7), user_namespaces(7) and fstab(5).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.case import HOST, Visible
from pytest_edgeload.sandbox.caps.hierarchy import mount_in
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.owner import PREFIX, is_abandoned, is_own, tag

_PROC = Path("/proc")
_FIELD = re.compile(r"(\w[^:\n]*):\s+(\d+)( kB)?", re.ASCII)
_KEPT = {"VmallocTotal", "Hugepagesize"}  # properties of the kernel, not amounts of memory
_TOOLS = ("unshare", "mount", "umount")
_TRIAL_BYTES = 64 << 20
_NEEDS_ROOT = "in a container: docker run --privileged ..."
_NEEDS_USER = (
    "run as root, or let users create namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 "
    "user.max_user_namespaces=1000"
)


def check(view: Visible, *, is_enforced: bool) -> None:
    """Try the view. Raises UsageError if no limit is enforced, and Unsupported if this machine cannot show it."""
    setting = Setting("view", view)
    if view == HOST:
        return
    if not is_enforced:
        raise UsageError(
            setting, "no limit is enforced that programs could see", ("leave it out, or change ", Setting("cap"))
        )
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise Unsupported(setting, f"{missing[0]} is not installed", "install the Debian packages util-linux and mount")
    if os.geteuid() != 0 and any("memory" in options.split(",") for _, options, _ in _hierarchies()):
        raise Unsupported(setting, "only root can replace the files of cgroup v1", "run as root")
    with shown(view, Limits(Constraints(_TRIAL_BYTES))) as prefix:
        command = [*prefix, "/bin/sh", "-c", ":"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        reason = f"its namespaces cannot be created: {' '.join(done.stderr.split())}"
        raise Unsupported(setting, reason, _NEEDS_ROOT if os.geteuid() == 0 else _NEEDS_USER)


def source() -> str:
    """Return what the files show in the view `limit`: LXCFS if it is mounted, else text that does not change."""
    return "files that do not change" if _lxcfs() is None else "LXCFS"


@contextmanager
def shown(view: Visible, limits: Limits) -> Iterator[tuple[str, ...]]:
    """Yield a command prefix behind which a process sees its limits, once it is in its group.

    The prefix is empty in the view `host` and without a limit of memory. It is valid in this context.
    """
    memory_bytes = limits.constraints.memory_bytes
    if view == HOST or memory_bytes is None:
        yield ()
        return
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{tag(os.getpid())}-view-") as name:
        folder = Path(name)
        table = [*_proc_files(folder, memory_bytes, limits.max_swap_bytes), *_group_files(folder)]
        (folder / "fstab").write_text("".join(f"{line}\n" for line in table))
        yield _prefix(folder / "fstab", [point for _, _, point in _hierarchies()])


def _sweep() -> None:
    """Remove the folders of views that dead processes left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-view-*"):
        if is_abandoned(folder.name) and is_own(folder):
            shutil.rmtree(folder, ignore_errors=True)  # another session may remove it at the same time


def _prefix(fstab: Path, covered: list[Path]) -> tuple[str, ...]:
    """Return the prefix that makes the namespaces and mounts everything in `fstab` there.

    Without root that needs a user namespace, and a second one to be the same user again. The mounts of the host are
    detached, because Java takes the first one of a hierarchy that it finds. In a user namespace the kernel refuses
    that, which does no harm with version 2: both mounts have the same place.
    """
    unshare, mount, umount = (shutil.which(tool) or tool for tool in _TOOLS)
    script = (
        f"{umount} -n -l {shlex.join(map(str, covered))} 2>/dev/null; "
        f'{mount} -n -a -T {shlex.quote(str(fstab))} && exec "$@"'
    )
    user, group = os.geteuid(), os.getegid()
    own = () if user == 0 else ("--user", "--map-root-user")
    back = () if user == 0 else (unshare, "--user", f"--map-user={user}", f"--map-group={group}", "--")
    return (unshare, *own, "--mount", "--cgroup", "--", "/bin/sh", "-c", script, "sh", *back)


def _proc_files(folder: Path, memory_bytes: int, swap_bytes: int | None) -> list[str]:
    """Return the lines of the table that cover files of /proc, and write the files that LXCFS does not provide."""
    lxcfs = _lxcfs()
    if lxcfs is not None:
        return [_line(lxcfs / "proc" / name, _PROC / name) for name in ("meminfo", "swaps")]
    host = kernel_text.read(_PROC / "meminfo")
    known = kernel_text.numbers(host.replace(" kB", ""))
    memory_kib = min(memory_bytes // 1024, known["MemTotal"])
    swap_kib = known.get("SwapTotal", 0) if swap_bytes is None else min(swap_bytes // 1024, known.get("SwapTotal", 0))
    texts = {"meminfo": meminfo(host, memory_kib, swap_kib), "swaps": swaps(swap_kib)}
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)  # for any user of a run
    return [_line(folder / name, _PROC / name) for name in texts if (_PROC / name).exists()]


def meminfo(host: str, memory_kib: int, swap_kib: int) -> str:
    """Return the text of /proc/meminfo for a machine of this size that is empty, with the fields in the `host`'s."""
    sizes = dict.fromkeys(["MemTotal", "MemFree", "MemAvailable"], memory_kib)
    sizes |= {"SwapTotal": swap_kib, "SwapFree": swap_kib, "CommitLimit": memory_kib + swap_kib}
    found = [(name, int(size), unit) for name, size, unit in _FIELD.findall(host)]
    shown_sizes = ((name, size if name in _KEPT else sizes.get(name, 0), unit) for name, size, unit in found)
    return "".join(f"{name + ':':<16}{size:>8}{unit}\n" for name, size, unit in shown_sizes)


def swaps(swap_kib: int) -> str:
    """Return the text of /proc/swaps for a machine with so much unused swap."""
    head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    return head + (f"none{'':<36}virtual\t\t{swap_kib}\t0\t\t0\n" if swap_kib else "")


def _group_files(folder: Path) -> list[str]:
    """Return the lines of the table that cover each cgroup hierarchy, and make the folders for them.

    The root of a hierarchy that is mounted in a cgroup namespace is the group of the process. The kernel refuses to
    mount a file system on itself, but not to bind it there.
    """
    table = []
    for index, (fstype, options, point) in enumerate(_hierarchies()):
        place = folder / str(index)
        place.mkdir()
        table += [f"edgeload {_word(place)} {fstype} {options} 0 0", _line(place, point)]
    return table


def _hierarchies() -> list[tuple[str, str, Path]]:
    return hierarchies(kernel_text.read("/proc/self/mountinfo"), kernel_text.read("/proc/self/cgroup"))


def hierarchies(mountinfo: str, groups: str) -> list[tuple[str, str, Path]]:
    """Return the type, the options and the mount point of each mounted hierarchy.

    `mountinfo` and `groups` are the texts of a process's /proc/PID/mountinfo and /proc/PID/cgroup.
    """
    found = []
    for line in kernel_text.lines(groups):
        controllers = line.split(":", 2)[1]
        fstype, options = ("cgroup", controllers) if controllers else ("cgroup2", "defaults")
        mount = mount_in(mountinfo, fstype, controllers.partition(",")[0])
        if mount is not None:
            found.append((fstype, options, mount[0]))
    return found


def _lxcfs() -> Path | None:
    """Return the mount point of LXCFS; None without it."""
    mount = mount_in(kernel_text.read("/proc/self/mountinfo"), "fuse.lxcfs")
    return None if mount is None else mount[0]


def _line(source: Path, target: Path) -> str:
    return f"{_word(source)} {_word(target)} none bind 0 0"


def _word(path: Path) -> str:
    """Return a path as a word of fstab(5)."""
    return re.sub(r"[\s\\#]", lambda sign: f"\\{ord(sign[0]):03o}", str(path))
