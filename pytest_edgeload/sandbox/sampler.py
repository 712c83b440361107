"""Samples a worker's memory from outside every 10 ms, and when its program asks, on a thread of pytest's process."""

from __future__ import annotations

import os
import select
import threading
import time
from array import array
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from pytest_edgeload.inside import MARK, RECORD, REPETITION
from pytest_edgeload.results.measurement import Moment, Timeline
from pytest_edgeload.sandbox.caps import Group
from pytest_edgeload.sandbox.counters import Live, Memory, resident
from pytest_edgeload.sandbox.inbox import Inbox

PERIOD_S = 0.01

MAX_READINGS = 20_000
"""The most readings that a program may ask for."""

_MAX_RECORD_BYTES = 1 << 24


class Reading(NamedTuple):
    """The memory in bytes, in memory and in swap, when a program asked for it. `name` is that of a moment, or empty."""

    name: str
    at_s: float
    anon_bytes: int


class Sampler:
    """A context in which the memory of a group and the high-water mark of its worker are read periodically.

    The `records` and `readings` are from the messages in `inbox`; `lost` counts those that were too many.
    """

    def __init__(self, group: Group, pid: int, inbox: Inbox | None = None) -> None:
        self._group = group
        self._pid = pid
        self._inbox = inbox
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._stop, select.POLLIN)
        if inbox is not None:
            self._poll.register(inbox, select.POLLIN)
        self._thread = threading.Thread(target=self._sample, name="edgeload sampler", daemon=True)
        self._at_s = array("d")
        self._bytes = (array("q"), array("q"), array("q"))
        self._record_bytes = 0
        self.records: list[bytes] = []
        self.readings: list[Reading] = []
        self.lost = 0
        self.begin_s = time.monotonic()
        self.highest_resident = 0
        self.cpu_share = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)

    def _sample(self) -> None:
        self.begin_s = due = time.monotonic()
        status = Live(Path(f"/proc/{self._pid}/status"))
        is_last = False
        while not is_last:
            is_last = self._wait(due)  # one more sample after the end
            self._read()
            process = resident(status.read())
            if process is not None:
                self.highest_resident = max(self.highest_resident, process.highest)
            due = max(due + PERIOD_S, time.monotonic())  # a late sample delays the next ones
            self.cpu_share = time.thread_time() / max(time.monotonic() - self.begin_s, PERIOD_S)
        status.close()

    def _wait(self, due_s: float) -> bool:
        """Receive messages until `due_s` or the end; return whether it came."""
        while True:
            ready = [fd for fd, _ in self._poll.poll(max(0.0, 1000 * (due_s - time.monotonic())))]
            if self._inbox is not None and self._inbox.fileno() in ready:
                while self._receive(self._inbox):
                    pass
            if self._stop in ready or not ready:
                return bool(ready)

    def _receive(self, inbox: Inbox) -> bool:
        """Receive a message; return whether there was one."""
        message, sender = inbox.receive()
        if message.startswith(RECORD):
            self._keep(message.removeprefix(RECORD))
        elif message.startswith((MARK, REPETITION)):
            memory = self._read()
            if memory is not None:
                self._note(message.removeprefix(MARK).decode(errors="replace") if message != REPETITION else "", memory)
            inbox.answer(sender)
        return bool(message)

    def _keep(self, record: bytes) -> None:
        self._record_bytes += len(record)
        if self._record_bytes <= _MAX_RECORD_BYTES:
            self.records.append(record)
        else:
            self.lost += 1

    def _note(self, name: str, memory: Memory) -> None:
        if len(self.readings) < MAX_READINGS:
            self.readings.append(Reading(name, self._at_s[-1], memory.anon + memory.swap))
        else:
            self.lost += 1

    def _read(self) -> Memory | None:
        """Read the group's memory, put it on the time line, and return it; None if the kernel no longer reports it."""
        memory = self._group.memory(self._pid)
        if memory is not None:
            self._at_s.append(time.monotonic())
            for column, value in zip(self._bytes, (memory.anon, memory.file, memory.swap), strict=True):
                column.append(value)
        return memory

    def timeline(self, zero_s: float | None) -> Timeline:
        """Return the samples, with times relative to `zero_s`. Call it after the context has ended."""
        zero_s = self.begin_s if zero_s is None else zero_s
        anon_bytes, file_bytes, swap_bytes = map(tuple, self._bytes)
        return Timeline(
            tuple(round(at_s - zero_s, 4) for at_s in self._at_s),
            anon_bytes,
            file_bytes,
            swap_bytes,
            tuple(Moment(name, round(at_s - zero_s, 4)) for name, at_s, _ in self.readings),
        )
