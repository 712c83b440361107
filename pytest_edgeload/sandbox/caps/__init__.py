"""The mechanisms that enforce constraints: one per file, and the table of them, best first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError, pieces
from pytest_edgeload.devices.constraints import CONSTRAINTS
from pytest_edgeload.sandbox.caps.cgroup1 import Cgroup1
from pytest_edgeload.sandbox.caps.cgroup2 import Cgroup2
from pytest_edgeload.sandbox.caps.outer import Outer
from pytest_edgeload.sandbox.caps.systemd import Systemd
from pytest_edgeload.sandbox.caps.uncapped import Uncapped
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Memory, Totals


class Group(Protocol):
    """The group of one worker's processes.

    `enter` is a command prefix: it joins the group and then becomes the command that follows. `counts_swap` is true if
    `memory` has all swap of the group.
    """

    enter: tuple[str, ...]
    counts_swap: bool

    def memory(self, pid: int) -> Memory | None:
        """Return the memory in use. `pid` is the worker's. Returns None if the kernel no longer reports it."""

    def totals(self, pid: int) -> Totals:
        """Return the totals of the group. `pid` is the worker's, which counts although it may have ended.

        Empty if a group that enforces its limits no longer exists, because another program removed it.
        """

    def kill(self) -> None:
        """Kill every process of the group."""

    def close(self) -> None:
        """Remove the group. The caller has killed its processes and waited for them."""


class Cap(Protocol):
    """A mechanism. `enforces` is true if the kernel enforces the limits."""

    enforces: bool

    def unavailable(self, *, throttles: bool = False) -> Unsupported | None:
        """Return why the cap does not work here, or cannot throttle reads if it should; None if it works."""

    def outer(self) -> Outer:
        """Return the limits of the groups around every group that the cap creates. Raises Unsupported."""

    def open(self, name: str, limits: Limits) -> Group:
        """Create a group called `name` with these limits. Raises Unsupported and then leaves nothing behind."""

    def sweep(self, session: str | None) -> list[str]:
        """Kill and remove the groups of `session`, or with None those of dead sessions; return their names."""


CAPS: Mapping[str, Cap] = {"cgroup2": Cgroup2(), "cgroup1": Cgroup1(), "systemd": Systemd(), "none": Uncapped()}


def choose(name: str, read_bps: int | None = None) -> tuple[str, Cap]:
    """Return the cap called `name`, or for `auto` the first that works here; with `read_bps` it can throttle reads.

    Raises UsageError.
    """
    obstacles: dict[str, Unsupported] = {}
    for key, cap in CAPS.items():
        if name in {key, "auto"}:
            error = cap.unavailable(throttles=read_bps is not None)
            if error is None:
                return key, cap
            obstacles[key] = error
    throttle = CONSTRAINTS["read_bps"]
    if name != "auto":
        error = obstacles[name]
        without = () if read_bps is None else (", or leave ", Setting(throttle.option), " out")
        hint = (*pieces(error.hint), "; try " if error.hint else "try ", Setting("cap", "auto"), *without)
        raise UsageError(Setting("cap", name), error.statement, hint)
    reasons = "; ".join(f"{key}: {error}" for key, error in obstacles.items() if CAPS[key].enforces)
    hint = ("leave it out, or make a cap work: ", reasons)
    raise UsageError(throttle.setting(read_bps), "no cap can throttle reads here", hint)
