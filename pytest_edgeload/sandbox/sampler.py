"""Samples a worker's memory from outside every 10 ms, on a thread of pytest's process."""

from __future__ import annotations

import threading
import time
from array import array
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_edgeload.results.measurement import Timeline
from pytest_edgeload.sandbox.caps import Group
from pytest_edgeload.sandbox.counters import Live, resident

PERIOD_S = 0.01


class Sampler:
    """A context in which the memory of a group and the high-water mark of its worker are read periodically."""

    def __init__(self, group: Group, pid: int) -> None:
        self._group = group
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="edgeload sampler", daemon=True)
        self._at_s = array("d")
        self._bytes = (array("q"), array("q"), array("q"))
        self.begin_s = time.monotonic()
        self.highest_resident = 0
        self.cpu_share = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        self.begin_s = due = time.monotonic()
        status = Live(Path(f"/proc/{self._pid}/status"))
        is_last = False
        while not is_last:
            is_last = self._stop.wait(max(0.0, due - time.monotonic()))  # one more sample after the end
            memory, process = self._group.memory(self._pid), resident(status.read())
            if memory is not None:
                self._at_s.append(time.monotonic())
                for column, value in zip(self._bytes, (memory.anon, memory.file, memory.swap), strict=True):
                    column.append(value)
            if process is not None:
                self.highest_resident = max(self.highest_resident, process.highest)
            due = max(due + PERIOD_S, time.monotonic())  # a late sample delays the next ones
            self.cpu_share = time.thread_time() / max(time.monotonic() - self.begin_s, PERIOD_S)
        status.close()

    def timeline(self, zero_s: float | None) -> Timeline:
        """Return the samples, with times relative to `zero_s`. Call it after the context has ended."""
        zero_s = self.begin_s if zero_s is None else zero_s
        return Timeline(
            tuple(round(at_s - zero_s, 4) for at_s in self._at_s),
            *(tuple(column) for column in self._bytes),
        )
