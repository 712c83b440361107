"""Names as they may be shown: somebody else wrote them."""

from __future__ import annotations


def printable(name: str) -> str:
    """Return `name` on one line, whatever stands in it."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)
