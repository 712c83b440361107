"""Ranks requests by their deadlines, for plans with the order `deadline`. Pure; no torch or clock."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from pytest_edgeload.planning.plan import DEADLINES_UNTIL_FIRST


@dataclass(slots=True)
class _Open:
    """A request that has arrived and is not answered: when it is due, and the tasks that are left, of so many.

    `service_s` is the time that it was expected to take, and `busy_s` the time of its tasks so far, by lane.
    """

    stream: str
    due_s: float
    service_s: float
    tasks: int
    left: int
    busy_s: dict[int, float] = field(default_factory=dict)


class Urgency:
    """The urgency of requests.

    A request whose init was ready for more than DEADLINES_UNTIL_FIRST deadlines goes first. Then come the requests that
    can be in time, in order of deadline. If they cannot all be, those with the most work left give way until the others
    can: this keeps as many as possible in time (Moore, An n Job, One Machine Sequencing Algorithm for Minimizing the
    Number of Late Jobs, 1968). Late requests go after all others.

    A stream's expected times are corrected by the time that its last answer took, and before its first answer by the
    mean of the other streams.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._slowness: dict[str, float] = {}  # the time that the last answer took over the expected time, by stream
        self._feasible: set[int] = set()
        self._known_s: float | None = None  # the time at which `_feasible` was found

    def arrive(self, request: int, stream: str | None, due_s: float, service_s: float, tasks: int) -> None:
        """Add a request that needs so many tasks and is expected to take `service_s` alone."""
        self._open[request] = _Open(stream or "", due_s, service_s, tasks, tasks)
        self._known_s = None

    def run(self, request: int, lane: int, seconds: float, left: int) -> None:
        """Count the time of a task of a request, which needs so many more."""
        if request in self._open:
            busy_s = self._open[request].busy_s
            busy_s[lane] = busy_s.get(lane, 0.0) + seconds
            self._open[request].left = left
            self._known_s = None

    def answer(self, request: int) -> None:
        """Remove a request that is answered, and learn from the time that it took."""
        ended = self._open.get(request)
        if ended is not None and ended.service_s > 0:
            self._slowness[ended.stream] = max(ended.busy_s.values(), default=0.0) / ended.service_s
        self.leave(request)

    def leave(self, request: int) -> None:
        """Remove a request."""
        self._open.pop(request, None)
        self._known_s = None

    def rank(
        self, request: int, deadline_s: float, arrived_s: float, turn_s: float, now_s: float
    ) -> tuple[float, float]:
        """Return the sort key of a request that arrived at `arrived_s` and whose init was ready at `turn_s`."""
        due_s = arrived_s + deadline_s
        if now_s - turn_s > DEADLINES_UNTIL_FIRST * deadline_s:
            return 0, turn_s
        if now_s > due_s:
            return 3, due_s
        if self._known_s != now_s:
            self._feasible, self._known_s = self._find_feasible(now_s), now_s
        return 1 if request in self._feasible else 2, due_s

    def _find_feasible(self, now_s: float) -> set[int]:
        """Return the largest set of requests that can all be in time if they are served by deadline from now on."""
        end_s = now_s
        found: list[tuple[float, int]] = []  # a heap: the most work first
        in_time = ((request.due_s, r) for r, request in self._open.items() if request.due_s >= now_s)
        for due_s, r in sorted(in_time):
            left_s = self._left_s(self._open[r])
            heapq.heappush(found, (-left_s, r))
            end_s += left_s
            if end_s > due_s:
                end_s += heapq.heappop(found)[0]
        return {r for _, r in found}

    def _left_s(self, request: _Open) -> float:
        """Return the seconds of work that are left of a request."""
        known = self._slowness
        slowness = known.get(request.stream) or sum(known.values()) / max(1, len(known)) or 1.0
        return request.service_s * slowness * request.left / max(1, request.tasks)
