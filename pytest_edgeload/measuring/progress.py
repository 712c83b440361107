"""The progress display of pytest and of the command line: one line of a terminal that is written again and again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Protocol

_CLEAR = "\r\033[K"


class Output(Protocol):
    """A text stream, such as `sys.stderr`, as far as the display needs it."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> None:
        """Show the text that was written."""


class ProgressLine:
    """Shows the state of the work on one line of a terminal.

    If the output is not a terminal, or in CI, whose logs keep every line, only the beginning of each network gets a
    line, unless `is_quiet`, and other states are not shown. `output` returns the stream to write to.
    """

    def __init__(self, output: Callable[[], Output], *, is_quiet: bool = False) -> None:
        self._output = output
        self._is_quiet = is_quiet
        self._shown = ""
        self._network = ""

    @property
    def is_shown(self) -> bool:
        """Whether the line is on the terminal now."""
        return self._shown != ""

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes of the network `name` are written; 0 of 0 while it is built."""
        words = f"edgeload: making network {name}"
        if total and done >= total:
            self.clear()
            self._network = ""
        elif self._is_live():
            self.show(f"{words}: {100 * done // total}%" if total else words)
        elif name != self._network and not self._is_quiet:
            self._network = name
            self.say(words)

    def show(self, text: str) -> None:
        """Replace the line by `text`, cut to the width of the terminal. Does nothing on other outputs."""
        line = text[: shutil.get_terminal_size().columns - 1]
        if line != self._shown and self._is_live():
            self._write(f"{_CLEAR}{line}")
            self._shown = line

    def clear(self) -> None:
        """Remove the line from the terminal."""
        if self._shown:
            self._write(_CLEAR)
            self._shown = ""

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self.clear()
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        output = self._output()
        output.write(text)
        output.flush()

    def _is_live(self) -> bool:
        isatty = getattr(self._output(), "isatty", False)  # pytest's reporter has a boolean
        return bool(isatty() if callable(isatty) else isatty) and not os.environ.get("CI")
