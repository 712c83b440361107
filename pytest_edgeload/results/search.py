"""The least value that works: a search that asks little, and does not trust a single answer. Pure functions."""

from __future__ import annotations

from collections.abc import Callable

_RUNS = 2  # by which what was found must be seen to work


def least(low: int, guess: int, most: int, works: Callable[[int], bool]) -> int | None:
    """Return the least value from `low` to `most` that works, if all above one that works do; None where none does.

    `guess` is asked first, then twice as much each time until one works, then the middle of what is left.
    """
    below, at = low - 1, min(max(low, guess), most)
    while not works(at):
        if at >= most:
            return None
        below, at = at, min(most, 2 * at)
    while at - below > 1:
        middle = (below + at) // 2
        below, at = (below, middle) if works(middle) else (middle, at)
    return at


def confirmed(found: int, most: int, works: Callable[[int], bool]) -> int | None:
    """Return the first value from `found` on, which worked once, that works twice; None where none does."""
    seen = 1
    for value in range(found, most + 1):
        if all(works(value) for _ in range(_RUNS - seen)):
            return value
        seen = 0
    return None
