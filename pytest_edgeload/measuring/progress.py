"""The progress of measuring, for pytest and the command line: a line of a terminal, and the expected remaining time."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

_CLEAR = "\r\033[K"
_MINUTE_S = 60


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


class RemainingTime:
    """The expected time of the runs that are left, at a cost that does not depend on their number.

    Each run has a key, such as the name of its test. It takes as long as the mean of the runs with its key that are
    over, or else the mean of all runs.
    """

    def __init__(self, left: Iterable[str] = ()) -> None:
        self._left = Counter(left)
        self._unknown = self._left.total()  # runs with a key of which none is over
        self._known_s = 0.0  # of the other runs that are left
        self._took_s: dict[str, tuple[int, float]] = {}
        self._over, self._all_s = 0, 0.0

    def end(self, key: str, seconds: float) -> None:
        """Take the duration of a run that is over."""
        count, total_s = self._took_s.get(key, (0, 0.0))
        if count:
            self._known_s -= self._left[key] * total_s / count
        else:
            self._unknown -= self._left[key]
        self._left[key] -= 1
        self._took_s[key] = (count + 1, total_s + seconds)
        self._known_s += self._left[key] * (total_s + seconds) / (count + 1)
        self._over, self._all_s = self._over + 1, self._all_s + seconds

    @property
    def seconds(self) -> float | None:
        """The seconds; None before the first run is over."""
        if not self._over:
            return None
        seconds = self._known_s + self._unknown * self._all_s / self._over
        return max(0.0, seconds)  # differences may leave a rounding error


def in_words(seconds: float) -> str:
    """Return the time in whole minutes, or in seconds if it is short."""
    return f"{seconds:.0f} s" if seconds < _MINUTE_S else f"{seconds / _MINUTE_S:.0f} min"
