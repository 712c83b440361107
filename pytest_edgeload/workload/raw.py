"""A text of YAML or JSON as read, before its keys and values are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

MAX_DEPTH = 10


class BadSyntax(Exception):
    """A text that is not of its format, or exceeds the limits of it. `line` counts from 1."""

    def __init__(self, line: int, reason: str, hint: str = "") -> None:
        super().__init__(line, reason, hint)
        self.line = line
        self.reason = reason
        self.hint = hint


class Members(list[tuple[str, Any]]):
    """The keys and values of a mapping in order; a key may be repeated."""


class Foreign(NamedTuple):
    """A value of a kind that only YAML has."""

    kind: str


class Position(NamedTuple):
    """The line of a value, or of its key if it has one, and the spelling of a scalar."""

    line: int
    spelling: str


class Raw(NamedTuple):
    """The value of a text, with `Members` for mappings, and a function that finds a value by msgspec's path.

    If a key is repeated, the function returns the last position.
    """

    value: Any
    find: Callable[[str], Position | None]


def too_deep(line: int) -> BadSyntax:
    """Return the error about a value inside too many others."""
    return BadSyntax(line, f"nested deeper than {MAX_DEPTH} levels", "take some out")
