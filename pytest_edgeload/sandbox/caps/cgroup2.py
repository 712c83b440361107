"""`cgroup2`: the memory controller of the unified hierarchy. See Documentation/admin-guide/cgroup-v2.rst."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_edgeload.errors import Unsupported
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.counters import PAGE_BYTES, Live, Memory, flat, stall

_MISSING = "the cgroup v2 hierarchy has no memory controller here"


_USE = re.compile(rb"^(anon|file) (\d+)$", re.MULTILINE)


class _Group:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.enter = hierarchy.enter(folder)
        self._stat = Live(folder / "memory.stat")
        swap = folder / "memory.swap.current"  # absent in a kernel without swap
        self._swap = Live(swap) if swap.exists() else None

    def memory(self, pid: int) -> Memory | None:  # noqa: ARG002  # the group is asked, not the process
        found = {name: int(size) for name, size in _USE.findall(self._stat.read())}
        swap = self._swap.read() if self._swap else b"0"
        return Memory(found[b"anon"], found[b"file"], int(swap)) if found and swap else None

    def totals(self) -> dict[str, float]:
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
        return totals | stall(self.folder / "memory.pressure")

    def kill(self) -> None:
        _kill(self.folder)

    def close(self) -> None:
        self._stat.close()
        if self._swap:
            self._swap.close()
        hierarchy.remove(self.folder)


def _kill(folder: Path) -> None:
    switch = folder / "cgroup.kill"  # since Linux 5.14; takes forks along
    if switch.exists():
        switch.write_text("1")
    hierarchy.kill(folder)


class Cgroup2:
    """Groups below the nearest group that may hand the memory controller on.

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

    def _parent(self) -> Path | None:
        for folder in self._candidates():
            try:
                if "memory" not in (folder / "cgroup.controllers").read_text().split():
                    continue
                control = folder / "cgroup.subtree_control"
                if "memory" not in control.read_text().split():
                    control.write_text("+memory")
            except OSError:
                continue
            # Moving a process needs write access to the group above both its old and its new one.
            if os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
                return folder
        return None

    def unavailable(self) -> str | None:
        """Return why no group can be made here; None where it can."""
        candidates = self._candidates()
        if not candidates:
            return "no cgroup v2 hierarchy is mounted"
        if not any("memory" in (folder / "cgroup.controllers").read_text().split() for folder in candidates):
            return _MISSING
        if self._parent() is None:
            return (
                "no cgroup v2 group above this process may be written to; "
                "run as root, or under a delegated group: systemd-run --user --scope -p Delegate=yes pytest ..."
            )
        return None

    def open(self, name: str, limit_bytes: int | None, *, swap: bool) -> _Group:
        """Make the group and set its limits."""
        parent = self._parent()
        if parent is None:
            raise Unsupported(self.unavailable() or _MISSING)
        folder = hierarchy.make(parent / name)
        try:
            if limit_bytes is not None:
                (folder / "memory.max").write_text(str(limit_bytes))
                if not swap:
                    (folder / "memory.swap.max").write_text("0")
            (folder / "memory.oom.group").write_text("1")  # a half-killed worker would be no outcome
        except OSError as error:
            hierarchy.remove(folder)
            raise Unsupported(f"cgroup {folder} could not be set up: {error.strerror} ({error.filename})") from error
        return _Group(folder)

    def sweep(self, session: str | None) -> list[str]:
        """Remove groups of `session`, or of sessions that are gone."""
        return hierarchy.sweep(hierarchy.mount_of("cgroup2"), session, _kill)
