"""The edge towards the terminal: what is printed, and what is shown meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import sys

from pytest_edgeload.base.errors import Unsupported


def write(text: str) -> int:
    """Write `text`, if there is any, to standard output as lines; return the exit status. Raises Unsupported."""
    if not text:
        return 0
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        if isinstance(error, BrokenPipeError):  # whoever read it, `head` say, has read enough
            return 128 + signal.SIGPIPE
        raise Unsupported(f"standard output cannot be written: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise Unsupported(
            f"standard output cannot show {error.object[error.start]!r} in {error.encoding}; set PYTHONUTF8=1"
        ) from error
    return 0


def show(text: str) -> None:
    """Put `text` in place of what was shown before, where standard error is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def say(line: str) -> None:
    """Write a line to standard error, which stays."""
    show("")
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def show_making(name: str, done: int, total: int) -> None:
    """Show how far the network `name` is made: bytes done and in all, 0 of 0 while it is being built."""
    show(f"edgeload: making network {name}" + (f": {100 * done // total}%" if total else ""))


def width() -> int | None:
    """Return the characters of a line of the terminal on standard output; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def has_colour() -> bool:
    """Tell whether standard output shows colours, and its reader wants them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def can_show(text: str) -> bool:
    """Tell whether the encoding of standard output has all of `text`."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
