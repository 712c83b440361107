"""Standard output and standard error: the answer, messages, and the progress display."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.measuring.progress import ProgressLine


def check() -> None:
    """Raise Unsupported if standard output is closed: a file that is opened later would become it."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the end
    if sys.stdout is None:
        raise Unsupported("standard output", "closed", f"send it to a file, or to {os.devnull}")


def write(text: str) -> int:
    """Write `text` to standard output, with a final newline unless it is empty; return the exit status.

    Raises Unsupported.
    """
    if not text:
        return 0
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it again at its end
        if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has read enough
            return 128 + signal.SIGPIPE
        raise Unsupported("standard output cannot be written", error.strerror or "") from error
    except UnicodeEncodeError as error:
        reason = f"cannot show {error.object[error.start]!r} in {error.encoding}"
        raise Unsupported("standard output", reason, "set PYTHONUTF8=1") from error
    return 0


_progress = ProgressLine(lambda: sys.stderr, is_quiet=True)

show, say, show_making = _progress.show, _progress.say, _progress
"""Replace the progress text; write a line that stays; show the progress of making a network."""


def width() -> int | None:
    """Return the columns of the terminal on standard output; None if it is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def has_colour() -> bool:
    """Return whether standard output is a terminal with colours that are not disabled."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def can_show(text: str) -> bool:
    """Return whether the encoding of standard output contains all characters of `text`."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
