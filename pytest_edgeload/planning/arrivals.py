"""The requests of a plan as they arrive, and the queues in which they wait. Pure; no torch or clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Condition


class TimedRequest(Protocol):
    """The part of a request that the dispatcher needs; see `workload.Request`."""

    @property
    def network(self) -> object:
        """The network, or its index; requests of a network have the same object."""

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

    A batch begins when all batches before it are done, and a request arrives some seconds later. A request with a
    trigger does not arrive before the trigger has been answered.
    """

    def __init__(self) -> None:
        self._batches: dict[int, list[tuple[int, float, int | None]]] = {}  # that have not begun
        self._to_begin: list[int] = []  # a heap
        self._begun: tuple[int, float] | None = None  # the last batch that has begun, and when
        self._absent: list[tuple[float, int]] = []  # a heap
        # By trigger that has not been answered: the requests that wait for it, with the times when they are due.
        self._held: dict[int, list[tuple[float, int]]] = {}

    @property
    def next_s(self) -> float | None:
        """The time of the next arrival; None if there is none, or it depends on tasks that have not ended."""
        return self._absent[0][0] if self._absent else None

    @property
    def left(self) -> bool:
        """Whether batches are left that have not begun."""
        return bool(self._to_begin)

    def add(self, r: int, arrival_s: float, batch: int, trigger: int | None) -> bool:
        """Add a request that is due `arrival_s` after its batch begins; return whether that has begun.

        `trigger` is the request that triggers it, if that has not been answered.
        """
        if trigger is not None:
            self._held.setdefault(trigger, [])
        if self._begun is not None and batch <= self._begun[0]:
            self._schedule(r, self._begun[1] + arrival_s, trigger)
            return True
        if batch not in self._batches:
            heapq.heappush(self._to_begin, batch)
        self._batches.setdefault(batch, []).append((r, arrival_s, trigger))
        return False

    def begin_batch(self, now_s: float) -> list[int]:
        """Let the next batch begin; return its requests."""
        batch = heapq.heappop(self._to_begin)
        self._begun = batch, now_s
        requests = self._batches.pop(batch)
        for r, arrival_s, trigger in requests:
            self._schedule(r, now_s + arrival_s, trigger)
        return [r for r, _, _ in requests]

    def _schedule(self, r: int, due_s: float, trigger: int | None) -> None:
        """Let a request arrive when it is due, and its trigger has been answered."""
        if trigger in self._held:
            self._held[trigger].append((due_s, r))
        else:
            heapq.heappush(self._absent, (due_s, r))

    def answer(self, trigger: int, now_s: float) -> None:
        """Let the requests that `trigger` triggers arrive: it has been answered, or its tasks are void."""
        for due_s, r in self._held.pop(trigger, ()):
            heapq.heappush(self._absent, (max(now_s, due_s), r))

    def due(self, now_s: float) -> Iterator[tuple[float, int]]:
        """Remove and yield the requests that have arrived by `now_s`, each with the time at which it was due."""
        while self._absent and self._absent[0][0] <= now_s:
            yield heapq.heappop(self._absent)


class Queues:
    """The waiting requests of each stream: they have arrived, and none of their loads and execs has begun."""

    def __init__(self) -> None:
        self._streams: dict[str, dict[int, None]] = {}  # in order of arrival
        self._queue_of: dict[int, dict[int, None]] = {}  # by request

    def arrive(self, request: int, stream: str, max_waiting: int | None) -> list[int]:
        """Add a request; return the oldest ones of its stream, which its queue has no room for."""
        waiting = self._queue_of[request] = self._streams.setdefault(stream, {})
        waiting[request] = None
        return [] if max_waiting is None else [*islice(waiting, max(0, len(waiting) - max_waiting))]

    def leave(self, request: int) -> None:
        """Remove a request that has begun, or is dropped."""
        waiting = self._queue_of.pop(request, None)
        if waiting is not None:
            del waiting[request]
