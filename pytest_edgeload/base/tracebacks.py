"""The part of a traceback that shows the user's own code. Standard library only."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TypeVar

_MAX_FRAMES = 8
_LIBRARIES = ("pytest_edgeload", "torch")
_PACKAGES = frozenset({"site-packages", "dist-packages"})

E = TypeVar("E", bound=BaseException)


def with_user_lines(error: E, cause: BaseException) -> E:
    """Return `error` with a note of the lines of the user's code in the traceback of `cause`, if there are any."""
    if lines := user_lines(cause):
        error.add_note(lines)
    return error


def user_lines(error: BaseException) -> str:
    """Return the lines of `error`'s traceback as Python prints it, without those of Python, torch and this project."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    lines = traceback.format_list(own[-_MAX_FRAMES:])
    if isinstance(error, SyntaxError):  # its line is in no frame
        lines += traceback.format_exception_only(error)[:-1]
    return "".join(lines).rstrip("\n")


def _is_own(file: str) -> bool:
    library = sysconfig.get_path("stdlib")
    if file.startswith("<") or (Path(file).is_relative_to(library) and not _PACKAGES & {*Path(file).parts}):
        return False
    folders = (str(Path(str(sys.modules[name].__file__)).parent) for name in _LIBRARIES if name in sys.modules)
    return not any(file.startswith(folder + os.sep) for folder in folders)
