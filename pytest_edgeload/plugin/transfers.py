"""Large files on their way to hosts, as one line of the terminal while they last and one sentence each in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from pytest_edgeload.base.units import format_size
from pytest_edgeload.hosts.outgoing import BeginCopy, Show
from pytest_edgeload.plugin.terminal import SessionProgress

_REFRESH_S = 0.1


@dataclass
class _Transfer:
    """A copy of files to a host, and the bytes that it has got since the copy began."""

    what: str
    host: str
    begun_s: float = field(default_factory=time.monotonic)
    done_bytes: int = 0

    @property
    def time_s(self) -> float:
        return time.monotonic() - self.begun_s

    @property
    def rate(self) -> str:
        return f"{format_size(self.done_bytes / max(self.time_s, 1e-3))}/s"


class Transfers:
    """Shows all files that are on their way: to which host, their share, their size and their rate.

    Output that is not a terminal, and the log of CI, get only the sentence at the end of each copy.
    """

    def __init__(self, progress: SessionProgress) -> None:
        self._progress = progress
        self._lock = threading.Lock()  # each host is served by a thread of its own
        self._lines: dict[str, str] = {}
        self._shown_s = 0.0

    @contextmanager
    def to(self, host: str) -> Iterator[BeginCopy]:
        """Yield the function that begins to show a copy to this host.

        In the end it is not shown any more; if there was no error, a sentence names the copied files.
        """
        begun: list[_Transfer] = []

        def begin(what: str) -> Show:
            begun.append(_Transfer(what, host))
            return partial(self._show, begun[-1])

        ended: list[_Transfer] = []
        try:
            yield begin
            ended = [copy for copy in begun if copy.done_bytes]
        finally:
            self._end(host, ended)

    def _show(self, copy: _Transfer, done: int, needed: int, holder: str) -> None:
        with self._lock:
            copy.done_bytes = done
            share = f"{100 * done // max(needed, 1)}% of {format_size(needed)}"
            shown = f"{copy.what} to {copy.host}: {share}, {copy.rate}"
            self._lines[copy.host] = f"{copy.host} waits for {holder}" if holder else shown
            if (now_s := time.monotonic()) - self._shown_s >= _REFRESH_S:
                self._progress.show(self._line)
                self._shown_s = now_s

    def _end(self, host: str, ended: Sequence[_Transfer]) -> None:
        with self._lock:
            was_shown = self._lines.pop(host, "")
            for copy in ended:
                size, time_s = format_size(copy.done_bytes), copy.time_s
                self._progress.say(f"edgeload: copied {copy.what} ({size}) to {host} in {time_s:.1f} s, {copy.rate}")
            if was_shown:
                self._progress.show(self._line)

    @property
    def _line(self) -> str:
        return f"edgeload: copying {'; '.join(self._lines.values())}" if self._lines else ""
