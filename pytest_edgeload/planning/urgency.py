"""Ranks requests by their deadlines, for plans with the order `deadline`. Pure; no torch or clock."""

from __future__ import annotations

from pytest_edgeload.planning.plan import DEADLINES_UNTIL_FIRST


class Urgency:
    """The urgency of requests.

    A request whose init was ready for more than DEADLINES_UNTIL_FIRST deadlines goes first. Then come requests in time,
    of which those go last whose stream was late with its last answer: the machine is too slow for that stream, and
    should not be late for the others as well. Late requests go after all others. Within each class, the earliest
    deadline goes first.
    """

    def __init__(self) -> None:
        self._late: dict[str, bool] = {}  # by stream

    def answer(self, stream: str | None, due_s: float, now_s: float) -> None:
        """Remember whether the answer of a request of `stream`, which was due at `due_s`, is late."""
        if stream:
            self._late[stream] = now_s > due_s

    def rank(
        self, stream: str | None, deadline_s: float, arrived_s: float, turn_s: float, now_s: float
    ) -> tuple[float, float]:
        """Return the sort key of a request that arrived at `arrived_s` and whose init was ready at `turn_s`."""
        due_s = arrived_s + deadline_s
        if now_s - turn_s > DEADLINES_UNTIL_FIRST * deadline_s:
            return 0, turn_s
        if now_s > due_s:
            return 3, due_s
        return 1 + self._late.get(stream or "", False), due_s
