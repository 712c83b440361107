"""Large files on their way to hosts, as one line of the terminal while they last and one sentence each in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pytest_edgeload.base.units import format_size
from pytest_edgeload.hosts.outgoing import BeginCopy
from pytest_edgeload.plugin.terminal import SessionProgress

_REFRESH_S = 0.1


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
        """Yield the function that begins to show a copy to this host. In the end it is not shown any more."""
        try:
            yield lambda what: partial(self._show, host, what, time.monotonic())
        finally:
            with self._lock:
                if self._lines.pop(host, ""):
                    self._progress.show(self._line)

    def _show(self, host: str, what: str, begun_s: float, done: int, needed: int, holder: str) -> None:
        with self._lock:
            now_s = time.monotonic()
            rate = format_size(done / max(now_s - begun_s, 1e-3))
            if needed and done >= needed:
                self._lines.pop(host, None)
                self._progress.say(
                    f"edgeload: copied {what} ({format_size(needed)}) to {host} in {now_s - begun_s:.1f} s, {rate}/s"
                )
            elif holder:
                self._lines[host] = f"{host} waits for {holder}"
            else:
                share = f"{100 * done // max(needed, 1)}% of {format_size(needed)}"
                self._lines[host] = f"{what} to {host}: {share}, {rate}/s"
            if now_s - self._shown_s >= _REFRESH_S or host not in self._lines:
                self._progress.show(self._line)
                self._shown_s = now_s

    @property
    def _line(self) -> str:
        return f"edgeload: copying {'; '.join(self._lines.values())}" if self._lines else ""
