"""What others call things: how it is shown, and what is no name. Standard library only."""

from __future__ import annotations

import os
import reprlib
from pathlib import Path

MOST = 1000
"""The characters that a name may have."""


def printable(text: str) -> str:
    """Return `text` on one line, whatever stands in it: what a terminal would obey is written as Python writes it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def is_name(name: str) -> bool:
    """Tell whether `name` can be shown and stored as it is."""
    return 0 < len(name) <= MOST and name.isprintable()


def as_path(text: str) -> Path:
    """Return the absolute path that `text` is, `~` being a home.

    Raises ValueError for what no file can be called, and in a folder that one may not enter.
    """
    try:
        path = Path(text).expanduser().absolute()
        path.exists()
    except PermissionError as error:
        raise ValueError(f"{error.strerror}; name another") from None
    except (OSError, RuntimeError):  # it is too long, or in the home of nobody
        raise ValueError("not a path that a file can have; name another") from None
    if not text.isprintable():
        raise ValueError("not a path that can be printed; name another")
    return path


def followed(path: Path) -> Path:
    """Return the file that `path` leads to, where it is a link: what is written there would replace the link, else."""
    return Path(os.path.realpath(path))  # unlike Path.resolve, it takes a link to itself for a file


def check(what: str, name: str) -> None:
    """Raise ValueError, which says `what` it should name, for what is no name."""
    if not is_name(name):
        raise ValueError(f"{what} {reprlib.repr(name)}: no name; give 1 to {MOST} characters that can be printed")
