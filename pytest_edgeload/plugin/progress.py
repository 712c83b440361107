"""The progress bar while weights are made."""

from __future__ import annotations

from typing import Any

import pytest
from tqdm import tqdm


class _Terminal:
    """pytest's own terminal as a file: standard error is captured while tests run."""

    def __init__(self, reporter: Any) -> None:
        self._reporter = reporter

    def write(self, text: str) -> None:
        self._reporter.write(text)

    def flush(self) -> None:
        self._reporter.flush()

    def isatty(self) -> bool:
        return bool(self._reporter.isatty)


class Bar:
    """Shows one network at a time; a plain line where the terminal is none, nothing in a worker of xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._bar: Any = None

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes of the network `name` are written; 0 of 0 while it is being built."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        if self._bar is None:
            if not reporter.isatty:
                reporter.write_line(f"\nedgeload: making network {name}")
            self._bar = tqdm(
                desc=f"making {name}", unit="B", unit_scale=True, disable=None, leave=False, file=_Terminal(reporter)
            )
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)
        if total and done >= total:
            self._bar.close()
            self._bar = None
