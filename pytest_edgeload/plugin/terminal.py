"""pytest's terminal as the output of the progress display."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.measuring.progress import ProgressLine


class SessionProgress:
    """The progress display of a session. Shows nothing in a worker of xdist, which has no terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager
        self._line = ProgressLine(lambda: self._reporter)
        self._begun: object = None

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

    @contextmanager
    def _uncaptured(self) -> Iterator[Any]:
        """Give the terminal, if there is one. Output of a running test is captured, and this output is not the test's.

        pytest goes on in a new line that begins like the one before it. Ctrl-C waits, because it could otherwise end a
        line halfway.
        """
        capture = self._plugins.get_plugin("capturemanager")
        with Interrupts(), capture.global_and_fixture_disabled() if capture else nullcontext():
            reporter = self._reporter
            if reporter is not None and not self._line.is_shown:
                self._begun = reporter.currentfspath
                _end_line(reporter)
            yield reporter
            if reporter is not None and not self._line.is_shown:
                _begin_line(reporter, self._begun)


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
