"""What others call things: how it is shown, and what is no name. Standard library only."""

from __future__ import annotations

import reprlib

MOST = 1000
"""The characters that a name may have."""


def printable(text: str) -> str:
    """Return `text` on one line, whatever stands in it: what a terminal would obey is written as Python writes it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def is_name(name: str) -> bool:
    """Tell whether `name` can be shown and stored as it is."""
    return 0 < len(name) <= MOST and name.isprintable()


def check(what: str, name: str) -> None:
    """Raise ValueError, which says `what` it should name, for what is no name."""
    if not is_name(name):
        raise ValueError(f"{what} {reprlib.repr(name)}: no name; give 1 to {MOST} characters that can be printed")
