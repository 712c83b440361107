"""The life of a capped process: its group, its sampler, its time and its end, around any conversation with it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from typing import Protocol

import msgspec

from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.results.measurement import Measurement, Outcome
from pytest_edgeload.results.reported import ReportedValue
from pytest_edgeload.sandbox.enclosure import Enclosure, Start
from pytest_edgeload.sandbox.environment import notices
from pytest_edgeload.sandbox.inbox import Inbox
from pytest_edgeload.sandbox.leftovers import Leftovers
from pytest_edgeload.sandbox.own import own_metrics
from pytest_edgeload.sandbox.sampler import Sampler
from pytest_edgeload.sandbox.worker import Worker

THREADS = "OMP_NUM_THREADS"
"""The variable that sets how many threads a program may use; most libraries that compute obey it."""


class Conversation(Protocol):
    """The messages to a worker and its answers."""

    def converse(self, worker: Worker) -> None:
        """Exchange messages until everything is answered or the worker is gone."""

    def reports(self, worker: Worker) -> Iterable[ReportedValue]:
        """Return the metrics that the program itself gave in its answers or its output. It has ended."""

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return the outcome of a worker that ended by itself, and a detail."""

    def measurement(self, worker: Worker, outcome: Outcome, detail: str) -> Measurement:
        """Return the measurement with the figures that the worker reported. It has ended."""


def live(conversation: Conversation, start: Start, enclosure: Enclosure) -> Measurement:
    """Start a process, have the conversation with it, end it, and return everything observed of it.

    Its failure is a value, not an exception. Nothing of it is left when this returns or raises. Raises Unsupported if
    the cap cannot be set up or no process can be started.
    """
    scratch = enclosure.scratch
    with Interrupts() as interrupts, closing(Inbox()) as inbox:
        leftovers = Leftovers.before(start.env)
        group = enclosure.cap.open(enclosure.name, enclosure.limits)
        started = time.time()
        try:
            if scratch is not None:
                scratch.prepare(enclosure.user)
                start = replace(start, env=scratch.env(start.env))
            worker = Worker(replace(start, env=inbox.env(start.env)), group, enclosure, inbox)
            try:
                with Sampler(group, worker.pid, inbox) as sampler, interrupts.allowed():
                    conversation.converse(worker)
            finally:
                worker.end()
                worker.notices += () if scratch is None else scratch.clear()
                worker.notices += leftovers.remove(worker.left(), enclosure.user.uid)
            outcome, detail = worker.outside_end() or conversation.outcome(worker)
            if outcome == "crashed":
                detail = enclosure.user.explain(detail)
            measurement = worker.complete(conversation.measurement(worker, outcome, detail), sampler, started)
            own, faults = own_metrics(conversation.reports(worker), sampler, outcome)
            return msgspec.structs.replace(
                measurement, own=own, notices=(*measurement.notices, *notices(start.env), *faults)
            )
        finally:
            group.kill()
            if scratch is not None:
                scratch.clear()
            with suppress(OSError):  # a group that is still busy is removed when the session ends
                group.close()
