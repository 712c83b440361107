"""pytest's terminal as the output of the progress display."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.measuring.progress import ProgressLine


class SessionProgress:
    """The progress display of a session. Shows nothing in a worker of xdist, which has no terminal.

    It is the output of its own line: pytest's line ends before the first text, and begins again after the last.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager
        self._line = ProgressLine(lambda: self)
        self._begun: object = None
        self._has_written = False

    @property
    def _reporter(self) -> Any:
        return self._plugins.get_plugin("terminalreporter")

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes of the network `name` are written; 0 of 0 while it is built."""
        with self._uncaptured() as reporter:
            if reporter is not None:
                self._line(name, done, total)

    def say(self, line: str) -> None:
        """Write a line that stays."""
        with self._uncaptured() as reporter:
            if reporter is not None:
                self._line.say(line)

    def say_anywhere(self, line: str) -> None:
        """Write a line that stays. A worker of xdist writes it to its error output, which is the same terminal."""
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        if worker is None:
            self.say(line)
            return
        with self._uncaptured():
            sys.stderr.write(f"\n[{worker}] {line}\n")
            sys.stderr.flush()

    def show(self, text: str) -> None:
        """Replace the line of a terminal by `text`; an empty text removes it."""
        with self._uncaptured() as reporter:
            if reporter is not None:
                self._line.show(text)

    def write(self, text: str, /) -> None:
        """Write text to pytest's terminal."""
        reporter = self._reporter
        if not self._has_written:
            self._begun, self._has_written = reporter.currentfspath, True
            _end_line(reporter)
        reporter.write(text)

    def flush(self) -> None:
        """Show the text that was written."""
        self._reporter.flush()

    def isatty(self) -> bool:
        """Return whether pytest's output is a terminal."""
        return bool(self._reporter.isatty)

    @contextmanager
    def _uncaptured(self) -> Iterator[Any]:
        """Give the terminal, if there is one. Output of a running test is captured, and this output is not the test's.

        Ctrl-C waits, because it could otherwise end a line halfway.
        """
        capture = self._plugins.get_plugin("capturemanager")
        with Interrupts(), capture.global_and_fixture_disabled() if capture else nullcontext():
            yield self._reporter
            if self._has_written and not self._line.is_shown:
                _begin_line(self._reporter, self._begun)
                self._has_written = False


def _begin_line(reporter: Any, begun: object) -> None:
    """Begin a line with the file of the dots, or under -v with the id of the test."""
    if isinstance(begun, Path):
        reporter.write(f"{os.path.relpath(begun, reporter.startpath)} ")
    elif isinstance(begun, str):
        reporter.write(begun)
    else:
        return
    reporter.currentfspath = begun


def _end_line(reporter: Any) -> None:
    """End the line of dots. Under -q the line does not begin with a file, so pytest's own method does nothing."""
    reporter.ensure_newline()
    if reporter._tw.width_of_current_line:  # noqa: SLF001  # pytest has no public name for it
        reporter.line("")
