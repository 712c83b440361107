"""The progress bar while weights are made."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from tqdm import tqdm

from pytest_edgeload.base.interrupts import Interrupts


class _Terminal:
    """pytest's terminal as a file, for the bar to draw on."""

    def __init__(self, reporter: Any) -> None:
        self._reporter = reporter

    def write(self, text: str) -> None:
        self._reporter.write(text)

    def flush(self) -> None:
        self._reporter.flush()

    def isatty(self) -> bool:
        return bool(self._reporter.isatty)


class Bar:
    """Shows one network at a time; one plain line where the terminal is none, nothing in a worker of xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager
        self._bar: Any = None

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes of the network `name` are written; 0 of 0 while it is being built."""
        reporter = self._plugins.get_plugin("terminalreporter")
        capture = self._plugins.get_plugin("capturemanager")
        if reporter is not None:
            # A test is running, so what is written now would be taken for its output.
            # Ctrl-C waits: where a weak reference of the bar's has just died, Python would drop it.
            with Interrupts(), capture.global_and_fixture_disabled() if capture else nullcontext():
                self._show(reporter, name, done, total)

    def say(self, line: str) -> None:
        """Show a line, which stays; none in a worker of xdist."""
        reporter = self._plugins.get_plugin("terminalreporter")
        capture = self._plugins.get_plugin("capturemanager")
        if reporter is not None:
            with Interrupts(), capture.global_and_fixture_disabled() if capture else nullcontext():
                reporter.ensure_newline()
                reporter.write_line(line)
                reporter.flush()

    def _show(self, reporter: Any, name: str, done: int, total: int) -> None:
        if self._bar is None:
            reporter.ensure_newline()
            if not reporter.isatty:
                reporter.write_line(f"edgeload: making network {name}")
                reporter.flush()
            file = _Terminal(reporter)
            self._bar = tqdm(desc=f"making {name}", unit="B", unit_scale=True, disable=None, leave=False, file=file)
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)
        if total and done >= total:
            self._bar.close()
            self._bar = None
