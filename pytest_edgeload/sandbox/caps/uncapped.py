"""`none`: enforces no limit and only watches the worker through /proc."""

from __future__ import annotations

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.caps.outer import Outer, outer_of
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Memory, Totals, family, processes, resident, status


class _WatchedProcess:
    enter: tuple[str, ...] = ()
    counts_swap = False  # only that of the worker itself

    def memory(self, pid: int) -> Memory | None:
        seen = resident(status(pid))
        return seen.memory if seen else None

    def totals(self, pid: int) -> Totals:
        return processes(family(pid))

    def kill(self) -> None:
        """Do nothing: only the worker itself is known, and its owner ends it."""

    def close(self) -> None:
        """Do nothing: nothing was created."""


class Uncapped:
    """Runs the worker without limits."""

    enforces = False

    def unavailable(self, *, throttles: bool = False) -> Unsupported | None:
        """Return None, because this always works, or why it cannot throttle reads."""
        return Unsupported("it watches the worker and throttles no reads") if throttles else None

    def outer(self) -> Outer:
        """Return the limits of the groups that this process is in."""
        return outer_of(hierarchy.own_chains("memory", "cpu", "blkio", ""))

    def open(self, name: str, limits: Limits) -> _WatchedProcess:  # noqa: ARG002
        """Return a group that only watches."""
        return _WatchedProcess()

    def sweep(self, session: str | None) -> list[str]:  # noqa: ARG002
        """Return an empty list: nothing is ever left behind."""
        return []
