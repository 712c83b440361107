"""Ranks requests by their deadlines, for plans with the order `deadline`. Pure; no torch or clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from pytest_edgeload.planning.plan import DEADLINES_UNTIL_FIRST

UNKNOWN_SHARE = 0.5
"""The part of its expected time that a request counts as long as its stream has no answer. The expected time may be
wrong by a factor, and a request that gives way for nothing is late for certain."""

IN_TIME = 1
"""The first part of the rank of requests that can be in time."""


_Source = str | tuple[int | None, int]
"""The requests that an answer counts for: those of its stream, or without one those of its network and steps."""


@dataclass(slots=True)
class _Open:
    """A request that has arrived and is not answered: when it is due, and the tasks that are left, of so many.

    `service_s` is the time that it was expected to take, `busy_s` the time of its tasks so far, by lane, and `exec_s`
    the time of its execs after the first step, which is slower than others. It begins after the requests `behind` have
    been answered. Requests with the same `network` ask the same one.
    """

    stream: str | None
    due_s: float
    service_s: float
    tasks: int
    left: int
    steps: int = 1
    network: int | None = None
    behind: Collection[int] = ()
    busy_s: dict[int, float] = field(default_factory=dict)
    exec_s: float = 0.0

    @property
    def source(self) -> _Source:
        """The requests that its answer counts for."""
        return (self.network, self.steps) if self.stream is None else self.stream

    @property
    def is_after_first_step(self) -> bool:
        """Whether the tasks of the first step have ended."""
        return (self.tasks - self.left) * self.steps >= self.tasks


class Urgency:
    """The urgency of requests.

    A request whose init was ready for more than DEADLINES_UNTIL_FIRST deadlines goes first. Then come the requests that
    can be in time, in order of deadline, and the one with the least work left first of those that are due at once. If
    they cannot all be, those with the most work left give way until the others can: this keeps as many as possible in
    time (Moore, An n Job, One Machine Sequencing Algorithm for Minimizing the Number of Late Jobs, 1968). Late requests
    go after all others. The work of a request includes that of the requests that it waits for, which are as urgent.

    A stream's expected times are corrected by the time that its last answer took, and before its first answer by that
    of the last one of the same network and as many steps, which also counts for requests without a stream. Without such
    an answer, they are corrected by those of the others, with the benefit of the doubt. A request of several steps
    takes at least as long for each as for those that have ended, without the first one, which reads weights and begins
    cold. It has the benefit of the doubt as well, but less with each step: the second one may be slow only because
    another network is read meanwhile.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._answers: dict[_Source, tuple[float, float]] = {}  # the time of the last answer, and the expected one
        self._alike: dict[tuple[int, int], tuple[float, float]] = {}  # the same by network and steps
        self._feasible: dict[int, int] = {}  # the requests that can be in time, or must be over before, with places
        self._known_s: float | None = None  # the time at which `_feasible` was found

    def arrive(
        self,
        request: int,
        stream: str | None,
        due_s: float,
        service_s: float,
        tasks: int,
        *,
        steps: int = 1,
        network: int | None = None,
        behind: Collection[int] = (),
    ) -> None:
        """Add a request that needs so many tasks and is expected to take `service_s` alone.

        Its tasks begin when the requests `behind` have been answered.
        """
        self._open[request] = _Open(stream, due_s, service_s, tasks, tasks, steps, network, behind)
        self._known_s = None

    def run(self, request: int, lane: int, seconds: float, left: int) -> None:
        """Count the time of a task of a request, which needs so many more."""
        if request in self._open:
            state = self._open[request]
            state.busy_s[lane] = state.busy_s.get(lane, 0.0) + seconds
            if left < state.left and state.is_after_first_step:
                state.exec_s += seconds
            state.left = left
            self._known_s = None

    def answer(self, request: int) -> None:
        """Remove a request that is answered, and learn from the time that it took."""
        ended = self._open.get(request)
        if ended is not None and ended.service_s > 0:
            self._answers[ended.source] = times_s = max(ended.busy_s.values(), default=0.0), ended.service_s
            if ended.network is not None:
                self._alike[ended.network, ended.steps] = times_s
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
        if self._known_s != now_s:
            self._feasible, self._known_s = self._find_feasible(now_s), now_s
        if request in self._feasible:
            return IN_TIME, self._feasible[request]
        return (2 if now_s <= due_s else 3), due_s

    def _find_feasible(self, now_s: float) -> dict[int, int]:
        """Return the largest set of requests that can all be in time if they are served by deadline from now on.

        It has their places in that order, in which the least work goes first of what is due at once. That work has no
        benefit of the doubt: with it, nothing seems to be left of a request that is nearly over, nor of others that are
        not. The set includes the requests that they wait for, whose work counts once.
        """
        left_s = {r: self._left_s(request) for r, request in self._open.items()}
        end_s = now_s
        found: list[tuple[float, int]] = []  # the work that each adds, as a negative number, and the request
        counted: set[int] = set()  # with those that they wait for
        in_time = ((request.due_s, r) for r, request in self._open.items() if request.due_s >= now_s)
        for due_s, r in sorted(in_time):
            if r in counted:
                continue
            group = [r, *self._blocking(r, {r, *counted})]
            added_s = sum(left_s[each] for each in group)
            found = together = [*found, (-added_s, r)]
            counted.update(group)
            end_s += added_s
            # Others may need much of the work of the largest. Then the last one gives way, which is always enough.
            for given_up in (min(together), together[-1]) if end_s > due_s else ():
                found = [each for each in together if each != given_up]
                counted = self._with_blocking(found)
                end_s = now_s + sum(left_s[each] for each in counted)
                if end_s <= due_s:
                    break
        order = sorted((self._open[r].due_s, self._left_s(self._open[r], doubt=1.0), r) for _, r in found)
        ordered = [r for _, _, r in order]
        reached = set(ordered)
        feasible: dict[int, int] = {}
        for place, r in enumerate(ordered):
            feasible |= dict.fromkeys([r, *self._blocking(r, reached)], place)
        return feasible

    def _with_blocking(self, found: Iterable[tuple[float, int]]) -> set[int]:
        """Return the requests that were found, and those that they wait for."""
        requests = [r for _, r in found]
        reached = set(requests)
        for r in requests:
            self._blocking(r, reached)
        return reached

    def _blocking(self, request: int, reached: set[int]) -> list[int]:
        """Return the requests that `request` waits for, directly or not, except those reached before; add them."""
        found: list[int] = []
        waiting = [request]
        while waiting:
            behind = self._open[waiting.pop()].behind
            new = [each for each in behind if each in self._open and each not in reached]
            reached.update(new)
            found += new
            waiting += new
        return found

    def _left_s(self, request: _Open, doubt: float = UNKNOWN_SHARE) -> float:
        """Return the seconds of work that are left of a request: by its time so far, or by its tasks if that is less.

        `doubt` is the part of its expected time that counts as long as no answer like it is known.
        Tasks alone mislead: those of a few convolutions take longer than those of many small tiles.
        """
        expected_s = request.service_s * self._slowness(request, doubt)
        spent_s = max(request.busy_s.values(), default=0.0)
        left_s = min(max(0.0, expected_s - spent_s), expected_s * request.left / max(1, request.tasks))
        later = request.tasks * (1 - 1 / request.steps) - request.left  # tasks after the first step that have ended
        if request.steps > 1 and 0 < request.tasks <= later * request.steps:  # a part of a step says little
            unsure = (1 - UNKNOWN_SHARE) * request.left / request.tasks
            return max(left_s, (1 - unsure) * request.exec_s / later * request.left)
        return left_s

    def _slowness(self, request: _Open, doubt: float) -> float:
        """Return the time that the last answer like this request took, over the expected one."""
        known = self._answers.get(request.source)
        if known is None and request.network is not None:
            known = self._alike.get((request.network, request.steps))
        if known is not None:
            took_s, service_s = known
            return took_s / service_s
        took_s, service_s = (sum(times_s) for times_s in zip((0.0, 0.0), *self._answers.values(), strict=True))
        return doubt * (took_s / service_s if took_s else 1.0)
