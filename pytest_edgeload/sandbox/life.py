"""The life of a capped process: its group, its sampler, its time and its end, around any conversation with it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Protocol

from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.results.record import Measurement, Outcome
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.sampler import Sampler
from pytest_edgeload.sandbox.user import User, ourselves
from pytest_edgeload.sandbox.worker import Worker

THREADS = "OMP_NUM_THREADS"
"""The variable that sets how many threads a program may use; most libraries that compute obey it."""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """The surroundings of a worker: the cap, the name of its group, its limits, its time, and its user.

    `expected_bytes` is how much memory the run will take from the system unless it is limited.
    """

    cap: Cap
    name: str
    limits: Limits
    timeout_s: float
    expected_bytes: int = 0
    user: User = field(default_factory=ourselves)

    @property
    def max_bytes(self) -> int:
        """The memory that the run can take from the system."""
        return min(self.expected_bytes, self.limits.constraints.memory_bytes or self.expected_bytes)


@dataclass(frozen=True, slots=True)
class Start:
    """A command to start, its environment and its folder. `stdin` and `stdout` are as for `subprocess`."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None
    stdin: int | IO[bytes] = subprocess.PIPE
    stdout: int = subprocess.PIPE


class Conversation(Protocol):
    """The messages to a worker and its answers."""

    def converse(self, worker: Worker) -> None:
        """Exchange messages until everything is answered or the worker is gone."""

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return the outcome of a worker that ended by itself, and a detail."""

    def measurement(self, worker: Worker, outcome: Outcome, detail: str) -> Measurement:
        """Return the measurement with the figures that the worker reported. It has ended."""


def live(conversation: Conversation, start: Start, enclosure: Enclosure) -> Measurement:
    """Start a process, have the conversation with it, end it, and return everything observed of it.

    Its failure is a value, not an exception. Nothing of it is left when this returns or raises. Raises Unsupported if
    the cap cannot be set up or no process can be started.
    """
    with Interrupts() as interrupts:
        group = enclosure.cap.open(enclosure.name, enclosure.limits)
        started = time.time()
        try:
            worker = Worker(start, group, enclosure)
            try:
                with Sampler(group, worker.pid) as sampler, interrupts.allowed():
                    conversation.converse(worker)
            finally:
                worker.end()
            outcome, detail = worker.outside_end() or conversation.outcome(worker)
            if outcome == "crashed":
                detail = enclosure.user.explain(detail)
            return worker.complete(conversation.measurement(worker, outcome, detail), sampler, started)
        finally:
            group.kill()
            with suppress(OSError):  # a group that is still busy is removed when the session ends
                group.close()
