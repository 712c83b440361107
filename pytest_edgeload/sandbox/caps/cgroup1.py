"""`cgroup1`: the memory controller of cgroup version 1. See Documentation/admin-guide/cgroup-v1/memory.rst."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_edgeload.errors import Unsupported
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.counters import Live, Memory, flat

_MISSING = "no cgroup v1 memory hierarchy is mounted"
_USE = re.compile(rb"^(rss|cache|swap) (\d+)$", re.MULTILINE)


class _Group:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.enter = hierarchy.enter(folder)
        self._stat = Live(folder / "memory.stat")

    def memory(self, pid: int) -> Memory | None:  # noqa: ARG002  # the group is asked, not the process
        found = {name: int(size) for name, size in _USE.findall(self._stat.read())}
        return Memory(found[b"rss"], found[b"cache"], found.get(b"swap", 0)) if found else None

    def totals(self) -> dict[str, float]:
        stat = flat((self.folder / "memory.stat").read_text())
        return {
            "refaults": stat["workingset_refault_anon"] + stat["workingset_refault_file"],
            "peak_charged_bytes": int((self.folder / "memory.max_usage_in_bytes").read_text()),
            "oom_kills": flat((self.folder / "memory.oom_control").read_text())["oom_kill"],
        }

    def kill(self) -> None:
        hierarchy.kill(self.folder)

    def close(self) -> None:
        self._stat.close()
        hierarchy.remove(self.folder)


class Cgroup1:
    """Groups below the one that pytest itself is in."""

    enforces = True

    def _parent(self) -> Path | None:
        mount = hierarchy.mount_of("cgroup", "memory")
        return hierarchy.own_group(mount, "memory") if mount else None

    def unavailable(self) -> str | None:
        """Return why no group can be made here; None where it can."""
        parent = self._parent()
        if parent is None:
            return _MISSING
        if not os.access(parent, os.W_OK):
            return f"{parent} cannot be written to; run as root, or have it made yours"
        return None

    def open(self, name: str, limit_bytes: int | None, *, swap: bool) -> _Group:
        """Make the group and set its limits."""
        parent = self._parent()
        if parent is None or not os.access(parent, os.W_OK):
            raise Unsupported(self.unavailable() or _MISSING)
        folder = hierarchy.make(parent / name)
        try:
            if limit_bytes is not None:
                (folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
                if not swap:
                    # Memory and swap together may not exceed what memory alone may.
                    (folder / "memory.memsw.limit_in_bytes").write_text(str(limit_bytes))
        except OSError as error:
            hierarchy.remove(folder)
            raise Unsupported(f"cgroup {folder} could not be set up: {error.strerror} ({error.filename})") from error
        return _Group(folder)

    def sweep(self, session: str | None) -> list[str]:
        """Remove groups of `session`, or of sessions that are gone."""
        return hierarchy.sweep(hierarchy.mount_of("cgroup", "memory"), session)
