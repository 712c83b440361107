"""`none`: no limit is enforced; the worker is watched through /proc alone."""

from __future__ import annotations

from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Memory, resident, status


class _Watched:
    enter: tuple[str, ...] = ()

    def memory(self, pid: int) -> Memory | None:
        found = resident(status(pid))
        return found.memory if found else None

    def totals(self) -> dict[str, float]:
        return {}

    def kill(self) -> None:
        """Nothing beside the worker itself is known, and the launcher ends that."""

    def close(self) -> None:
        """Nothing was made."""


class Uncapped:
    """Runs the worker as it is."""

    enforces = False

    def unavailable(self) -> str | None:
        """Return None: this always works."""
        return None

    def cannot_throttle(self) -> str | None:
        """Return why it does not."""
        return "it watches the worker and throttles no reads"

    def open(self, name: str, limits: Limits) -> _Watched:  # noqa: ARG002
        """Return a group that only watches."""
        return _Watched()

    def sweep(self, session: str | None) -> list[str]:  # noqa: ARG002
        """Return nothing: nothing is ever left."""
        return []
