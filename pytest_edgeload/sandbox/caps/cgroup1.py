"""`cgroup1`: the memory, pids, blkio, cpu and cpuset controllers of cgroup version 1, each in a hierarchy of its own.

See Documentation/admin-guide/cgroup-v1/memory.rst, pids.rst, blkio-controller.rst, cpusets.rst and
scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.sandbox import counters
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.caps.outer import Outer, limit_hits, outer_of
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Live, Memory, Totals, oom_kills, refaults

_CONTROLLERS = ("pids", "memory", "blkio", "cpu", "cpuset")
_USE = re.compile(rb"^(rss|cache|shmem|swap) (\d{1,20})$", re.MULTILINE)


class _Cgroup1Group:
    """A group in the memory hierarchy, and one in the hierarchy of each other controller that has a setting."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.folder = folders[0]
        self._folders = folders
        self._max_processes = [hierarchy.max_processes(folder) for folder in folders]
        self.enter = tuple(word for folder in folders for word in hierarchy.enter(folder))
        self.counts_swap = (self.folder / "memory.memsw.usage_in_bytes").exists()  # absent with swapaccount=0
        self._stat = Live(self.folder / "memory.stat")

    def memory(self, pid: int) -> Memory | None:  # noqa: ARG002  # the group's own count includes all processes
        sizes = {name: int(size) for name, size in _USE.findall(self._stat.read())}
        if not {b"rss", b"cache"} <= sizes.keys():
            return None
        shared = sizes.get(b"shmem", 0)  # part of the page cache in the kernel's own account
        return Memory(sizes[b"rss"] + shared, sizes[b"cache"] - shared, sizes.get(b"swap", 0))

    def totals(self, pid: int) -> Totals:
        with suppress(OSError):
            return counters.processes([pid, *hierarchy.members(self.folder)]) | self._totals()
        return Totals()

    def _totals(self) -> Totals:
        totals = refaults(kernel_text.entries(self.folder / "memory.stat"))
        totals |= oom_kills(kernel_text.entries(self.folder / "memory.oom_control"))
        peak_bytes = kernel_text.number(kernel_text.read(self.folder / "memory.max_usage_in_bytes"))
        if peak_bytes is not None:
            totals["peak_charged_bytes"] = peak_bytes
        totals |= limit_hits(self.folder) | Totals(kernel_bytes=self._kernel_bytes())
        for folder, max_processes in zip(self._folders, self._max_processes, strict=True):
            folder.stat()  # raises if any of the groups was removed
            totals |= hierarchy.refusals(folder, max_processes)
        return totals

    def _kernel_bytes(self) -> int:
        file = self.folder / "memory.kmem.max_usage_in_bytes"  # absent if the kernel does not charge its own memory
        return (kernel_text.number(kernel_text.read(file)) if file.exists() else None) or 0

    def kill(self) -> None:
        for folder in reversed(self._folders):  # the group that counts processes first
            hierarchy.kill(folder)

    def close(self) -> None:
        self._stat.close()
        hierarchy.remove_all(self._folders)


class Cgroup1:
    """Groups below those of pytest itself."""

    enforces = True

    def _parent(self, controller: str) -> Path:
        """Return pytest's group of this controller. Raises Unsupported if no group can be created in it."""
        mount = hierarchy.mount_of("cgroup", controller)
        if mount is None:
            raise Unsupported(f"no cgroup v1 {controller} hierarchy is mounted")
        hierarchy.refuse_read_only(mount[0])
        parent = hierarchy.own_group(mount, controller)
        if not os.access(parent, os.W_OK):
            raise Unsupported(str(parent), "cannot be written to", "run as root, or have root give it to you")
        return parent

    def unavailable(self, *, throttles: bool = False) -> Unsupported | None:
        """Return why no group can be created here, or throttle reads if it should; None if one can."""
        error = hierarchy.obstacle(self._parent, "memory")
        return hierarchy.obstacle(self._parent, "blkio") if throttles and error is None else error

    def outer(self) -> Outer:
        """Return the limits of the groups that this process is in."""
        return outer_of(hierarchy.own_chains("memory", "cpu", "blkio", ""))

    def open(self, name: str, limits: Limits) -> _Cgroup1Group:
        """Create the group in each hierarchy it needs, and set its limits. Raises Unsupported."""
        parent = self._parent("memory")
        hierarchy.refuse_more(hierarchy.own_chains("memory"), limits.constraints.memory_bytes)
        groups = {parent / name: _memory(limits)}
        others = {
            "blkio": _throttles(limits),
            "cpu": _time(limits.constraints.cpus),
            "cpuset": self._cores(limits.core_numbers),
        }
        if hierarchy.obstacle(self._parent, "pids") is None:
            others["pids"] = hierarchy.processes(self._parent("pids"), limits.max_processes)
        for controller, settings in others.items():
            if settings:
                # Some boards mount all controllers as one hierarchy.
                groups.setdefault(self._parent(controller) / name, []).extend(settings)
        return _Cgroup1Group(hierarchy.make(groups))

    def _cores(self, cores: tuple[int, ...]) -> list[tuple[str, str]]:
        """Return the cores and the memory nodes, which the kernel needs before a process may enter the group."""
        if not cores:
            return []
        nodes = kernel_text.read(self._parent("cpuset") / "cpuset.mems").strip()
        return [("cpuset.cpus", ",".join(map(str, cores))), ("cpuset.mems", nodes)]

    def sweep(self, session: str | None) -> list[str]:
        """Remove groups of `session`, or of dead sessions."""
        mounts = (hierarchy.mount_of("cgroup", controller) for controller in _CONTROLLERS)
        return list(dict.fromkeys(name for mount in mounts for name in hierarchy.sweep(mount, session)))


def _memory(limits: Limits) -> list[tuple[str, str]]:
    memory_bytes = limits.constraints.memory_bytes
    if memory_bytes is None:
        return []
    settings = [("memory.limit_in_bytes", str(memory_bytes))]
    if limits.max_swap_bytes is not None:  # the kernel limits the sum of memory and swap
        settings.append(("memory.memsw.limit_in_bytes", str(memory_bytes + limits.max_swap_bytes)))
    return settings


def _throttles(limits: Limits) -> list[tuple[str, str]]:
    rates = {"read": limits.constraints.read_bps, "write": limits.constraints.write_bps}
    return [
        (f"blkio.throttle.{way}_bps_device", f"{disk} {rate}")
        for way, rate in rates.items()
        for disk in limits.disks
        if rate is not None
    ]


def _time(cpus: float | None) -> list[tuple[str, str]]:
    if cpus is None:
        return []
    quota_us, period_us = hierarchy.quota(cpus)
    return [("cpu.cfs_period_us", str(period_us)), ("cpu.cfs_quota_us", str(quota_us))]
