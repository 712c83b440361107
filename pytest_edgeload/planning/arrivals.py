"""The requests of a plan as they arrive, and the queues in which they wait. Pure; no torch or clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Protocol

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Condition


class TimedRequest(Protocol):
    """The part of a request that the dispatcher needs; see `workload.Request`."""

    @property
    def arrival_s(self) -> float:
        """Seconds after its batch begins."""

    @property
    def batch(self) -> int:
        """The batch of the closed loop."""

    @property
    def when(self) -> Condition | None:
        """The condition of the request; None if it has none or it is ignored."""

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The inputs that come from earlier requests."""

    @property
    def steps(self) -> int:
        """How often the network runs; in later steps of a longer loop, tasks for it end without being run."""

    @property
    def stream(self) -> str:
        """The stream that the request belongs to."""

    @property
    def queue(self) -> int | None:
        """The number of requests of its stream that may wait after it has arrived; None for any number."""

    @property
    def after(self) -> int | None:
        """The earlier request whose answer triggers this one."""


class Arrivals:
    """The requests that are still to arrive.

    A batch begins when all batches before it are done, and a request arrives `arrival_s` seconds later. A request with
    a trigger does not arrive before the trigger has been answered.
    """

    def __init__(self, requests: Sequence[TimedRequest], count: int) -> None:
        self._offsets_s = [request.arrival_s for request in requests] or [0.0] * count
        self._batches: dict[int, list[int]] = {}
        for r in range(count):
            self._batches.setdefault(requests[r].batch if requests else 0, []).append(r)
        self._to_begin = sorted(self._batches, reverse=True)
        self._absent: list[tuple[float, int]] = []  # a heap
        self._triggers = {r: request.after for r, request in enumerate(requests) if request.after is not None}
        self._unanswered = set(self._triggers.values())
        self._held_s: dict[int, float] = {}  # the due times of requests whose trigger has not been answered

    @property
    def next_s(self) -> float | None:
        """The time of the next arrival; None if there is none, or it depends on tasks that have not ended."""
        return self._absent[0][0] if self._absent else None

    @property
    def left(self) -> bool:
        """Whether batches are left that have not begun."""
        return bool(self._to_begin)

    def begin_batch(self, now_s: float) -> list[int]:
        """Let the next batch begin; return its requests."""
        batch = self._batches[self._to_begin.pop()]
        for r in batch:
            due_s = now_s + self._offsets_s[r]
            if self._triggers.get(r) in self._unanswered:
                self._held_s[r] = due_s
            else:
                heapq.heappush(self._absent, (due_s, r))
        return batch

    def answer(self, trigger: int, now_s: float) -> None:
        """Let the requests that `trigger` triggers arrive: it has been answered, or its tasks are void."""
        self._unanswered.discard(trigger)
        for r in [r for r in self._held_s if self._triggers[r] == trigger]:
            heapq.heappush(self._absent, (max(now_s, self._held_s.pop(r)), r))

    def due(self, now_s: float) -> Iterator[tuple[float, int]]:
        """Remove and yield the requests that have arrived by `now_s`, each with the time at which it was due."""
        while self._absent and self._absent[0][0] <= now_s:
            yield heapq.heappop(self._absent)


class Queues:
    """The waiting requests of each stream: they have arrived, and none of their loads and execs has begun."""

    def __init__(self, requests: Sequence[TimedRequest]) -> None:
        self._requests = requests
        self._waiting: dict[str, list[int]] = {}

    def arrive(self, request: int) -> list[int]:
        """Add a request; return the oldest ones of its stream, which its queue has no room for."""
        if not self._requests:
            return []
        waiting = self._waiting.setdefault(self._requests[request].stream, [])
        waiting.append(request)
        max_waiting = self._requests[request].queue
        return [] if max_waiting is None else waiting[:-max_waiting]

    def leave(self, request: int) -> None:
        """Remove a request that has begun, or is dropped."""
        if self._requests and request in (waiting := self._waiting.get(self._requests[request].stream, [])):
            waiting.remove(request)
