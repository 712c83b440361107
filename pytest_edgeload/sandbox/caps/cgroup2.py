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

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import PAGE_BYTES, Live, Memory, flat, stall

_OLD_NAMES = {"io": "blkio"}
_USE = re.compile(rb"^(anon|file) (\d+)$", re.MULTILINE)


class _Group:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._most = hierarchy.most_processes(folder)
        self.enter = hierarchy.enter(folder)
        self._stat = Live(folder / "memory.stat")
        swap = folder / "memory.swap.current"  # absent in a kernel without swap
        self._swap = Live(swap) if swap.exists() else None

    def memory(self, pid: int) -> Memory | None:  # noqa: ARG002  # the group is asked, not the process
        found = {name: int(size) for name, size in _USE.findall(self._stat.read())}
        swap = self._swap.read() if self._swap else b"0"
        return Memory(found[b"anon"], found[b"file"], int(swap)) if found and swap else None

    def totals(self) -> dict[str, float]:
        with suppress(OSError):
            return self._totals()
        return {}

    def _totals(self) -> dict[str, float]:
        stat = flat((self.folder / "memory.stat").read_text())
        totals: dict[str, float] = {
            "refaults": stat["workingset_refault_anon"] + stat["workingset_refault_file"],
            "oom_kills": flat((self.folder / "memory.events").read_text())["oom_kill"],
        }
        if "pswpin" in stat:
            totals["swap_in_bytes"] = stat["pswpin"] * PAGE_BYTES
            totals["swap_out_bytes"] = stat["pswpout"] * PAGE_BYTES
        peak = self.folder / "memory.peak"  # since Linux 5.19
        if peak.exists():
            totals["peak_charged_bytes"] = int(peak.read_text())
        return totals | hierarchy.refusals(self.folder, self._most) | stall(self.folder / "memory.pressure")

    def kill(self) -> None:
        _kill(self.folder)

    def close(self) -> None:
        self._stat.close()
        if self._swap:
            self._swap.close()
        hierarchy.remove(self.folder)


def _hands_on(folder: Path, controllers: Collection[str]) -> None:
    """Have the group give these controllers to the groups in it. Raises OSError where it does not."""
    control = folder / "cgroup.subtree_control"
    lacking = {*controllers} - {*control.read_text().split()}
    if lacking:
        control.write_text(" ".join(f"+{controller}" for controller in lacking))


def _refuses(folder: Path, controllers: Collection[str]) -> str | None:
    """Return why no group with these controllers can be made in `folder`, which may be written to; None if one can."""
    given = (folder / "cgroup.controllers").read_text().split()
    lacking = [name for name in controllers if name not in given]
    if lacking:
        words = " ".join(f"+{name}" for name in lacking)
        above = folder.parent / "cgroup.subtree_control"
        return f"{folder} is given no {' and no '.join(lacking)} controller; have root run: echo {words} > {above}"
    try:
        _hands_on(folder, controllers)
    except OSError as error:
        if error.errno != errno.EBUSY:
            return _not_handed_over(folder)
        return (
            f"{folder} has processes of its own, so that it cannot hand {' and '.join(controllers)} on; move them "
            f"into a group in it: mkdir {folder}/leaf; for p in $(cat {folder}/cgroup.procs); "
            f"do echo $p > {folder}/leaf/cgroup.procs; done"
        )
    # Moving a process needs write access to the group above both its old and its new one.
    return None if os.access(folder / "cgroup.procs", os.W_OK) else _not_handed_over(folder)


def _not_handed_over(folder: Path) -> str:
    files = ("cgroup.procs", "cgroup.subtree_control")
    locked = [name for name in files if not os.access(folder / name, os.W_OK)] or files
    return (
        f"{folder} may be written to, but not its {' and '.join(locked)}; have root run: "
        f"cd {folder} && chown {os.geteuid()} {' '.join(locked)}"
    )


def _most(parent: Path) -> int | None:
    """Return the least of the limits of `parent` and the groups above it; None where none has one."""
    files = [folder / "memory.max" for folder in (parent, *parent.parents)]
    found = [file.read_text().strip() for file in files if file.exists()]  # the root has none
    return min((int(text) for text in found if text != "max"), default=None)


def _kill(folder: Path) -> None:
    switch = folder / "cgroup.kill"  # since Linux 5.14; takes forks along
    if switch.exists():
        with suppress(OSError):  # the group may be gone by now
            switch.write_text("1")
    hierarchy.kill(folder)


class Cgroup2:
    """Groups below the nearest group that may hand the controllers on.

    A group with processes of its own may not, unless it is the root, so that is often not pytest's own group but one
    above it. An unprivileged user needs a delegated subtree, which systemd's user manager gives.
    """

    enforces = True

    def _candidates(self) -> list[Path]:
        mount = hierarchy.mount_of("cgroup2")
        if mount is None:
            return []
        own = hierarchy.own_group(mount, "")
        return [own, *(parent for parent in own.parents if parent.is_relative_to(mount[0]))]

    def _parent(self, *controllers: str) -> Path:
        """Return the nearest group that hands these controllers on. Raises Unsupported where there is none."""
        candidates = self._candidates()
        if not candidates:
            raise Unsupported("no cgroup v2 hierarchy is mounted")
        known = {name for folder in candidates for name in (folder / "cgroup.controllers").read_text().split()}
        for controller in controllers:
            if controller not in known:
                raise Unsupported(_without(controller))
        hierarchy.refuse_read_only(candidates[-1])
        reasons = []
        for folder in filter(partial(os.access, mode=os.W_OK), candidates):
            reason = _refuses(folder, controllers)
            if reason is None:
                return folder
            reasons.append(reason)
        if reasons:
            raise Unsupported(reasons[-1])  # the group that was handed over, of which the others are but parts
        raise Unsupported(
            f"no cgroup v2 group above this process may be written to and hand {' and '.join(controllers)} on; "
            "run as root, or under a delegated group: systemd-run --user --scope -p Delegate=yes pytest ..."
        )

    def unavailable(self) -> str | None:
        """Return why no group can be made here; None where it can."""
        return hierarchy.refusal(self._parent, "memory")

    def cannot_throttle(self) -> str | None:
        """Return why no group can throttle reads here; None where it can."""
        return hierarchy.refusal(self._parent, "memory", "io")

    def open(self, name: str, limits: Limits) -> _Group:
        """Make the group and set its limits."""
        settings = [("memory.oom.group", "1")]  # a half-killed worker would be no outcome
        constraints = limits.constraints
        if constraints.memory_bytes is not None:
            settings.append(("memory.max", str(constraints.memory_bytes)))
            if limits.max_swap_bytes is not None:
                settings.append(("memory.swap.max", str(limits.max_swap_bytes)))
        others = {"io": _throttled(limits), "cpu": _time(constraints.cpus), "cpuset": _cores(limits.core_numbers)}
        needed = [controller for controller, found in others.items() if found]
        counts = hierarchy.refusal(self._parent, "memory", *needed, "pids") is None
        parent = self._parent("memory", *needed, *(["pids"] if counts else []))
        settings += [setting for found in others.values() for setting in found]
        settings += hierarchy.processes(parent, limits.max_processes) if counts else []
        hierarchy.refuse_more(parent, constraints.memory_bytes, _most(parent))
        [folder] = hierarchy.make({parent / name: settings})
        return _Group(folder)

    def sweep(self, session: str | None) -> list[str]:
        """Remove groups of `session`, or of sessions that are gone."""
        return hierarchy.sweep(hierarchy.mount_of("cgroup2"), session, _kill)


def _without(controller: str) -> str:
    """Return why the hierarchy lacks a controller: where version 1 has it, version 2 cannot."""
    if hierarchy.mount_of("cgroup", _OLD_NAMES.get(controller, controller)) is None:
        return f"the cgroup v2 hierarchy has no {controller} controller here"
    return (
        f"version 1 of cgroups has the {controller} controller here, so that version 2 has none; "
        "boot with systemd.unified_cgroup_hierarchy=1"
    )


def _throttled(limits: Limits) -> list[tuple[str, str]]:
    rates = {"rbps": limits.constraints.read_bps, "wbps": limits.constraints.write_bps}
    words = " ".join(f"{key}={rate}" for key, rate in rates.items() if rate is not None)
    return [("io.max", f"{disk} {words}") for disk in limits.disks]


def _time(cpus: float | None) -> list[tuple[str, str]]:
    return [] if cpus is None else [("cpu.max", "{} {}".format(*hierarchy.quota(cpus)))]


def _cores(cores: tuple[int, ...]) -> list[tuple[str, str]]:
    return [("cpuset.cpus", ",".join(map(str, cores)))] if cores else []
