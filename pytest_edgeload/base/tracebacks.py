"""The part of a traceback that shows the user's own code. Standard library only."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TypeVar

from pytest_edgeload.base.text import printable

_MAX_FRAMES, _MAX_CHARACTERS = 8, 200
_LIBRARIES = ("pytest_edgeload", "torch")
_PACKAGES = frozenset({"site-packages", "dist-packages"})

E = TypeVar("E", bound=BaseException)


def with_user_lines(error: E, cause: BaseException) -> E:
    """Return `error` with a note of the lines of the user's code in the traceback of `cause`, if there are any."""
    if lines := user_lines(cause):
        error.add_note(lines)
    return error


def user_lines(error: BaseException) -> str:
    """Return the lines of `error`'s traceback as Python prints it, without those of Python, torch and this project.

    Of long tracebacks and of long lines, only a part is returned. All characters but line ends are printable.
    """
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    lines = traceback.format_list(own[-_MAX_FRAMES:])
    if isinstance(error, SyntaxError):  # its line is in no frame
        lines += traceback.format_exception_only(error)[:-1]
    return bounded_lines("".join(lines))


def bounded_lines(text: str) -> str:
    """Return the last lines of `text`, printable, with the beginning of each: as many as a traceback may have."""
    lines = text.rstrip("\n").split("\n")[-4 * _MAX_FRAMES :]  # of a frame: place, code, marks, repetitions
    return "\n".join(printable(line[:_MAX_CHARACTERS]) for line in lines)


def _is_own(file: str) -> bool:
    library = sysconfig.get_path("stdlib")
    if file.startswith("<") or (Path(file).is_relative_to(library) and not _PACKAGES & {*Path(file).parts}):
        return False
    folders = (str(Path(str(sys.modules[name].__file__)).parent) for name in _LIBRARIES if name in sys.modules)
    return not any(file.startswith(folder + os.sep) for folder in folders)
