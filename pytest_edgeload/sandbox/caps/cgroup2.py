"""`cgroup2`: the memory, pids, io, cpu and cpuset controllers of the unified hierarchy.

See Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.sandbox import counters
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.caps.outer import Outer, limit_hits, outer_of
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Live, Memory, Totals, oom_kills, refaults, stall, swap_traffic

_VERSION_1_NAMES = {"io": "blkio"}
_USE = re.compile(rb"^(anon|file|shmem) (\d{1,20})$", re.MULTILINE)


class _Cgroup2Group:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._max_processes = hierarchy.max_processes(folder)
        self.enter = hierarchy.enter(folder)
        self._stat = Live(folder / "memory.stat")
        swap = folder / "memory.swap.current"  # absent in a kernel without swap, and with swapaccount=0
        self.counts_swap = swap.exists()
        self._swap = Live(swap) if self.counts_swap else None

    def memory(self, pid: int) -> Memory | None:  # noqa: ARG002  # the group's own count includes all processes
        sizes = {name: int(size) for name, size in _USE.findall(self._stat.read())}
        swap = self._swap.read() if self._swap else b"0"
        swap_bytes = kernel_text.number(swap.decode(errors="replace"))
        if swap_bytes is None or not {b"anon", b"file", b"shmem"} <= sizes.keys():
            return None
        shared = sizes[b"shmem"]  # part of the page cache in the kernel's own account
        return Memory(sizes[b"anon"] + shared, sizes[b"file"] - shared, swap_bytes)

    def totals(self, pid: int) -> Totals:
        with suppress(OSError):
            return counters.processes([pid, *hierarchy.members(self.folder)]) | self._totals()
        return Totals()

    def _totals(self) -> Totals:
        stat = kernel_text.entries(self.folder / "memory.stat")
        totals = swap_traffic(stat) | refaults(stat) | stall(self.folder / "memory.pressure")
        totals |= oom_kills(kernel_text.entries(self.folder / "memory.events"))
        totals["kernel_bytes"] = stat.get("kernel", 0)  # since Linux 5.18
        usage = kernel_text.entries(self.folder / "cpu.stat")
        if "usage_usec" in usage:
            totals["cpu_s"] = usage["usage_usec"] / 1e6
        peak = self.folder / "memory.peak"  # since Linux 5.19
        peak_bytes = kernel_text.number(kernel_text.read(peak)) if peak.exists() else None
        if peak_bytes is not None:
            totals["peak_charged_bytes"] = peak_bytes
        totals |= limit_hits(self.folder)
        return totals | hierarchy.refusals(self.folder, self._max_processes)

    def kill(self) -> None:
        _kill(self.folder)

    def close(self) -> None:
        self._stat.close()
        if self._swap:
            self._swap.close()
        hierarchy.remove(self.folder)


def _delegate(folder: Path, controllers: Collection[str]) -> None:
    """Let the groups in this group use these controllers. Raises OSError if the kernel refuses."""
    control = folder / "cgroup.subtree_control"
    missing = {*controllers} - {*kernel_text.read(control).split()}
    if missing:
        control.write_text(" ".join(f"+{controller}" for controller in missing))


def _obstacle(folder: Path, controllers: Collection[str]) -> Unsupported | None:
    """Return why no group with these controllers can be created in `folder`, which is writable; None if one can."""
    available = kernel_text.read(folder / "cgroup.controllers").split()
    missing = [name for name in controllers if name not in available]
    if missing:
        words = " ".join(f"+{name}" for name in missing)
        above = folder.parent / "cgroup.subtree_control"
        return Unsupported(
            str(folder), f"has no {' and no '.join(missing)} controller", f"have root run: echo {words} > {above}"
        )
    try:
        _delegate(folder, controllers)
    except OSError as error:
        if error.errno != errno.EBUSY:
            return _locked(folder)
        return Unsupported(
            str(folder),
            f"contains processes, so its groups cannot have the controllers {' and '.join(controllers)}",
            f"move them into a group in it: mkdir {folder}/leaf; for p in $(cat {folder}/cgroup.procs); "
            f"do echo $p > {folder}/leaf/cgroup.procs; done",
        )
    # Moving a process needs write access to the group above both its old and its new one.
    return None if os.access(folder / "cgroup.procs", os.W_OK) else _locked(folder)


def _locked(folder: Path) -> Unsupported:
    files = ("cgroup.procs", "cgroup.subtree_control")
    locked = [name for name in files if not os.access(folder / name, os.W_OK)] or files
    return Unsupported(
        str(folder),
        f"writable, but not its {' and '.join(locked)}",
        f"have root run: cd {folder} && chown {os.geteuid()} {' '.join(locked)}",
    )


def _kill(folder: Path) -> None:
    switch = folder / "cgroup.kill"  # since Linux 5.14; kills forks as well
    if switch.exists():
        with suppress(OSError):  # the group may no longer exist
            switch.write_text("1")
    hierarchy.kill(folder)


class Cgroup2:
    """Groups below the nearest group whose own groups may have the controllers.

    A group that contains processes does not qualify, unless it is the root. So the nearest one is often not pytest's
    own group but one above it. An unprivileged user needs a delegated subtree, as systemd's user manager provides.
    """

    enforces = True

    def _candidates(self) -> list[Path]:
        mount = hierarchy.mount_of("cgroup2")
        if mount is None:
            return []
        own = hierarchy.own_group(mount, "")
        return [own, *(parent for parent in own.parents if parent.is_relative_to(mount[0]))]

    def _parent(self, *controllers: str) -> Path:
        """Return the nearest group whose groups may have these controllers. Raises Unsupported without one."""
        candidates = self._candidates()
        if not candidates:
            raise Unsupported("no cgroup v2 hierarchy is mounted")
        known = {name for folder in candidates for name in kernel_text.read(folder / "cgroup.controllers").split()}
        for controller in controllers:
            if controller not in known:
                raise _no_controller(controller)
        hierarchy.refuse_read_only(candidates[-1])
        obstacles = []
        for folder in filter(partial(os.access, mode=os.W_OK), candidates):
            error = _obstacle(folder, controllers)
            if error is None:
                return folder
            obstacles.append(error)
        if obstacles:
            raise obstacles[-1]  # the group that was delegated; the others are inside it
        raise Unsupported(
            "cgroup v2",
            f"no group above this process can be written to and delegate {' and '.join(controllers)}",
            "run as root, or under a delegated group: systemd-run --user --scope -p Delegate=yes pytest ...",
        )

    def unavailable(self, *, throttles: bool = False) -> Unsupported | None:
        """Return why no group can be created here, or throttle reads if it should; None if one can."""
        error = hierarchy.obstacle(self._parent, "memory")
        return hierarchy.obstacle(self._parent, "memory", "io") if throttles and error is None else error

    def outer(self) -> Outer:
        """Return the limits of the groups around those that can be created here. Raises Unsupported."""
        return outer_of([*self._around(self._parent("memory")), *hierarchy.own_chains("cpu", "blkio")])

    def _around(self, parent: Path) -> list[Path]:
        """Return `parent` and the groups around it."""
        return [folder for folder in self._candidates() if parent.is_relative_to(folder)]

    def open(self, name: str, limits: Limits) -> _Cgroup2Group:
        """Create the group and set its limits. Raises Unsupported."""
        constraints = limits.constraints
        settings = [("memory.oom.group", "1")]  # a worker that lost only some processes would have no clear outcome
        if constraints.memory_bytes is not None:
            settings.append(("memory.max", str(constraints.memory_bytes)))
            if limits.max_swap_bytes is not None:
                settings.append(("memory.swap.max", str(limits.max_swap_bytes)))
        others = {"io": _throttles(limits), "cpu": _time(constraints.cpus), "cpuset": _cores(limits.core_numbers)}
        needed = [controller for controller, values in others.items() if values]
        counts = hierarchy.obstacle(self._parent, "memory", *needed, "pids") is None
        parent = self._parent("memory", *needed, *(["pids"] if counts else []))
        settings += [setting for values in others.values() for setting in values]
        settings += hierarchy.processes(parent, limits.max_processes) if counts else []
        hierarchy.refuse_more(self._around(parent), constraints.memory_bytes)
        [folder] = hierarchy.make({parent / name: settings})
        return _Cgroup2Group(folder)

    def sweep(self, session: str | None) -> list[str]:
        """Remove groups of `session`, or of dead sessions."""
        return hierarchy.sweep(hierarchy.mount_of("cgroup2"), session, _kill)


def _no_controller(controller: str) -> Unsupported:
    """Return why the hierarchy lacks a controller: version 2 cannot have one that version 1 has."""
    if hierarchy.mount_of("cgroup", _VERSION_1_NAMES.get(controller, controller)) is None:
        return Unsupported(f"the cgroup v2 hierarchy has no {controller} controller here")
    return Unsupported(
        f"the cgroup v2 hierarchy has no {controller} controller here, because version 1 has it",
        hint="boot with systemd.unified_cgroup_hierarchy=1",
    )


def _throttles(limits: Limits) -> list[tuple[str, str]]:
    rates = {"rbps": limits.constraints.read_bps, "wbps": limits.constraints.write_bps}
    words = " ".join(f"{key}={rate}" for key, rate in rates.items() if rate is not None)
    return [("io.max", f"{disk} {words}") for disk in limits.disks]


def _time(cpus: float | None) -> list[tuple[str, str]]:
    return [] if cpus is None else [("cpu.max", "{} {}".format(*hierarchy.quota(cpus)))]


def _cores(cores: tuple[int, ...]) -> list[tuple[str, str]]:
    return [("cpuset.cpus", ",".join(map(str, cores)))] if cores else []
