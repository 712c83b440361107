"""The expected remaining time of a session, shown on a terminal to the right of pytest's dots while a test measures."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pytest

from pytest_edgeload.measuring.progress import RemainingTime, in_words
from pytest_edgeload.plugin.items import function_of

_SAVE, _RESTORE, _CLEAR = "\0337", "\0338", "\033[K"
_GAP = "  "


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
        self._remaining = RemainingTime()

    def begin(self, measuring: Sequence[str]) -> None:
        """Count the tests with these ids."""
        self._left = set(measuring)
        self._total = len(self._left)
        self._remaining = RemainingTime(map(function_of, self._left))

    def expect(self, tests: Sequence[str]) -> None:
        """Count the tests with these ids as well."""
        self.begin([*self._left, *tests])

    def show(self, nodeid: str) -> None:
        """Show the state of the session while the test with this id runs."""
        seconds = self._remaining.seconds
        if nodeid in self._left and seconds is not None:
            number = self._total - len(self._left) + 1
            self._write(f"test {number} of {self._total}, about {in_words(seconds)} left")

    def take(self, report: pytest.TestReport) -> None:
        """Clear the line, so that pytest can show the report, and take the duration of a test that is over."""
        nodeid = report.nodeid
        self._write("")
        if nodeid in self._left:
            self._running_s[nodeid] = self._running_s.get(nodeid, 0.0) + report.duration
            if report.when == "teardown":
                self._left.remove(nodeid)
                self._remaining.end(function_of(nodeid), self._running_s.pop(nodeid))

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
