"""The part of a traceback that shows the user's own code. Standard library only."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

_MAX_FRAMES = 8
_LIBRARIES = ("pytest_edgeload", "torch")


def user_lines(error: BaseException) -> str:
    """Return the lines of `error`'s traceback without those of this package and of torch, as Python prints them."""
    folders = [str(Path(str(sys.modules[name].__file__)).parent) + os.sep for name in _LIBRARIES if name in sys.modules]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*folders, "<frozen "))]
    lines = traceback.format_list(own[-_MAX_FRAMES:])
    if isinstance(error, SyntaxError):  # its line is in no frame
        lines += traceback.format_exception_only(error)[:-1]
    return "".join(lines).rstrip("\n")
