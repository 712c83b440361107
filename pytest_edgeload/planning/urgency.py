"""Ranks requests by their deadlines, for plans with the order `deadline`. Pure; no torch or clock."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.planning.plan import DEADLINES_UNTIL_FIRST


class Urgency:
    """The urgency of requests with these deadlines in seconds; `streams` has the name of each one's stream.

    A request whose init was ready for more than DEADLINES_UNTIL_FIRST deadlines goes first. Then come requests in time,
    of which those go last whose stream was late with its last answer: the machine is too slow for that stream, and
    should not be late for the others as well. Late requests go after all others. Within each class, the earliest
    deadline goes first.
    """

    def __init__(self, deadlines_s: Sequence[float], streams: Sequence[str]) -> None:
        self._deadlines_s = deadlines_s
        self._streams = streams
        self._turns_s: dict[int, float] = {}  # when inits were ready
        self._late: dict[str, bool] = {}  # by stream

    def begin(self, request: int, now_s: float) -> None:
        """Count the wait of a request from now on: its init is ready."""
        self._turns_s[request] = now_s

    def answer(self, request: int, arrived_s: float, now_s: float) -> None:
        """Remember whether the answer of a request, which arrived at `arrived_s`, is late."""
        if request < len(self._streams) and self._streams[request]:
            self._late[self._streams[request]] = now_s > arrived_s + self._deadlines_s[request]

    def rank(self, request: int, arrived_s: float, now_s: float) -> tuple[float, float]:
        """Return the sort key of a request that arrived at `arrived_s`."""
        deadline_s, turn_s = self._deadlines_s[request], self._turns_s.get(request, arrived_s)
        due_s = arrived_s + deadline_s
        if now_s - turn_s > DEADLINES_UNTIL_FIRST * deadline_s:
            return 0, turn_s
        if now_s > due_s:
            return 3, due_s
        stream = self._streams[request] if request < len(self._streams) else ""
        return 1 + self._late.get(stream, False), due_s
