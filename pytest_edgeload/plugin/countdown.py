"""The expected remaining time of a session, shown on a terminal to the right of pytest's dots while a test measures."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from pytest_edgeload.plugin.items import function_of

_SAVE, _RESTORE, _CLEAR = "\0337", "\0338", "\033[K"
_GAP = "  "
_MINUTE_S = 60


class Countdown:
    """Counts the tests that measure, from their reports, and shows how many are left and for how long.

    It writes behind the cursor and moves the cursor back, so pytest's own line stays as it is. Other outputs than a
    terminal, and CI, get nothing.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._left: set[str] = set()
        self._total = 0
        self._running_s: dict[str, float] = {}
        self._remaining = RemainingTime(())

    def begin(self, measuring: Sequence[str]) -> None:
        """Count the tests with these ids."""
        self._left = set(measuring)
        self._total = len(self._left)
        self._remaining = RemainingTime(self._left)

    def show(self, nodeid: str) -> None:
        """Show the state of the session while the test with this id runs."""
        seconds = self._remaining.seconds
        if nodeid in self._left and seconds is not None:
            number = self._total - len(self._left) + 1
            self._write(f"test {number} of {self._total}, about {_words(seconds)} left")

    def take(self, report: pytest.TestReport) -> None:
        """Clear the line, so that pytest can show the report, and take the duration of a test that is over."""
        nodeid = report.nodeid
        self._write("")
        if nodeid in self._left:
            self._running_s[nodeid] = self._running_s.get(nodeid, 0.0) + report.duration
            if report.when == "teardown":
                self._left.remove(nodeid)
                self._remaining.end(nodeid, self._running_s.pop(nodeid))

    def _write(self, text: str) -> None:
        """Write `text` behind the cursor if it fits; an empty text clears the rest of the line."""
        if not self._config.pluginmanager.has_plugin("terminalreporter"):  # under -p no:terminal
            return
        writer = self._config.get_terminal_writer()
        if os.environ.get("CI") or not (writer.hasmarkup and sys.stdout.isatty()):
            return
        if text and writer.width_of_current_line + len(_GAP + text) >= writer.fullwidth:
            return
        # pytest's writer would count these characters, and misplace its percentage.
        sys.stdout.write(f"{_CLEAR}{_SAVE}{_GAP}{text}{_RESTORE}" if text else _CLEAR)
        sys.stdout.flush()


class RemainingTime:
    """The expected time of the tests with the ids `left`, at a cost that does not depend on their number.

    A test takes as long as the mean of its function's tests that are over, or else the mean of all tests.
    """

    def __init__(self, left: Iterable[str]) -> None:
        self._left = Counter(map(function_of, left))
        self._unknown = self._left.total()  # tests of functions of which none is over
        self._known_s = 0.0  # of the other tests that are left
        self._took_s: dict[str, tuple[int, float]] = {}
        self._over, self._all_s = 0, 0.0

    def end(self, nodeid: str, seconds: float) -> None:
        """Take the duration of a test that is over."""
        function = function_of(nodeid)
        count, total_s = self._took_s.get(function, (0, 0.0))
        if count:
            self._known_s -= self._left[function] * total_s / count
        else:
            self._unknown -= self._left[function]
        self._left[function] -= 1
        self._took_s[function] = (count + 1, total_s + seconds)
        self._known_s += self._left[function] * (total_s + seconds) / (count + 1)
        self._over, self._all_s = self._over + 1, self._all_s + seconds

    @property
    def seconds(self) -> float | None:
        """The seconds; None before the first test is over."""
        if not self._over:
            return None
        return max(
            0.0, self._known_s + self._unknown * self._all_s / self._over
        )  # differences may leave a rounding error


def _words(seconds: float) -> str:
    """Return the time in whole minutes, or in seconds if it is short."""
    return f"{seconds:.0f} s" if seconds < _MINUTE_S else f"{seconds / _MINUTE_S:.0f} min"
