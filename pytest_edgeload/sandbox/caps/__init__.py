"""What enforces a worker's limit: one mechanism a file, and the table of them, best first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.units import exact_size
from pytest_edgeload.sandbox.caps.cgroup1 import Cgroup1
from pytest_edgeload.sandbox.caps.cgroup2 import Cgroup2
from pytest_edgeload.sandbox.caps.systemd import Systemd
from pytest_edgeload.sandbox.caps.uncapped import Uncapped
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Memory


class Group(Protocol):
    """One worker's group of processes. `enter` is a command prefix that joins the group, then runs what follows."""

    enter: tuple[str, ...]

    def memory(self, pid: int) -> Memory | None:
        """Return what the group uses now; `pid` is the worker. None once nothing can be told."""

    def totals(self) -> dict[str, float]:
        """Return the group's running totals and high-water marks by metric name, `oom_kills` and `fork_refusals`.

        Nothing once a group that enforces is gone, which it is only by somebody else's doing.
        """

    def kill(self) -> None:
        """End every process of the group."""

    def close(self) -> None:
        """Remove the group; its processes have been killed and waited for."""


class Cap(Protocol):
    """A mechanism. `enforces` tells whether the kernel holds the limit."""

    enforces: bool

    def unavailable(self) -> str | None:
        """Return in one sentence why it does not work here and what would help; None where it works."""

    def cannot_throttle(self) -> str | None:
        """Return in one sentence why it cannot throttle reads here; None where it can, if it works at all."""

    def open(self, name: str, limits: Limits) -> Group:
        """Make a group called `name` with these limits. Raises Unsupported, and then leaves nothing."""

    def sweep(self, session: str | None) -> list[str]:
        """Kill and remove the groups of `session`, or with None those of sessions that are gone; return their names."""


CAPS: Mapping[str, Cap] = {"cgroup2": Cgroup2(), "cgroup1": Cgroup1(), "systemd": Systemd(), "none": Uncapped()}


def choose(name: str, read_bps: int | None = None) -> tuple[str, Cap]:
    """Return the cap called `name`, or for `auto` the first that works here; it can throttle reads where asked to.

    Raises UsageError.
    """

    def lacks(cap: Cap) -> str | None:
        return cap.unavailable() or (None if read_bps is None else cap.cannot_throttle())

    if name != "auto":
        reason = lacks(CAPS[name])
        if reason is not None:
            without = () if read_bps is None else (", or leave ", Setting("read-bw"), " out")
            raise UsageError(Setting("cap", name), reason, ("try ", Setting("cap", "auto"), *without))
        return name, CAPS[name]
    found = next((key for key, cap in CAPS.items() if lacks(cap) is None), None)
    if found is None:
        assert read_bps is not None  # else there is always `none`
        reasons = "; ".join(f"{key}: {lacks(cap)}" for key, cap in CAPS.items() if cap.enforces)
        raise UsageError(
            Setting("read-bw", exact_size(read_bps)),
            "no cap can throttle reads here",
            f"leave it out, or make a cap work: {reasons}",
        )
    return found, CAPS[found]
