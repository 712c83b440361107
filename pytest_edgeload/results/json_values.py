"""Numbers in JSON and in returned values: found by a path, checked, and read from text. Workers import this file."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Sequence
from typing import Any

from pytest_edgeload.base.arguments import plain

KeyPath = tuple[str | int | None, ...]
"""A path: names of objects, indices of lists, and None for every item of a list."""

MAX_SERIES = 10_000
"""The most numbers of a series that a record keeps."""

_MAX_NUMBER = 1e100  # as in files of records
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MAX_DIGITS = 100


class _Repeated:
    """Stands for the values of a key that an object contains twice."""


def document(subject: str, text: str) -> Any:
    """Return the JSON that is the whole text, or else its last line that is an object or a list. Raises ValueError."""
    text = text.removeprefix("\ufeff")
    lines = (line for line in reversed(text.split("\n")) if line.lstrip()[:1] in {"{", "["})
    for part in (text, *lines):
        try:
            return json.loads(part, object_pairs_hook=_object)
        except (ValueError, RecursionError):  # no JSON, a number with thousands of digits, or nested too deep
            pass
    raise ValueError(f"{subject} contains no JSON that can be read, neither as a whole nor as its last line")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Repeated() if key in found else value
    return found


def find(value: Any, steps: KeyPath, shown: str = "$") -> Any:
    """Return the value below `value`, which is at the path `shown`. Raises ValueError with the reason if none is."""
    if isinstance(value, _Repeated):
        raise ValueError(f"{shown} is there twice")  # noqa: TRY004  # a fault of the data
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step is None and isinstance(value, list | tuple):
        return [find(item, rest, f"{shown}[{i}]") for i, item in enumerate(value)]
    if isinstance(step, str) and isinstance(value, dict) and step in value:
        return find(value[step], rest, f"{shown}.{step}")
    if isinstance(step, int) and isinstance(value, list | tuple) and -len(value) <= step < len(value):
        return find(value[step], rest, f"{shown}[{step}]")
    if step is None:
        raise ValueError(f"{shown} is not a list")
    names = f", only {reprlib.repr([*value])}" if isinstance(value, dict) and value else ""
    raise ValueError(f"{shown} has no {step!r}{names}")


def is_series(value: object) -> bool:
    """Return whether a value is a list, or an array of numbers."""
    return isinstance(value, list | tuple) or getattr(value, "shape", ()) != ()


def numbers(value: Any) -> list[float]:
    """Return a number, or the numbers of a list, as a list. Raises ValueError for any other value."""
    items = value.tolist() if is_series(value) and hasattr(value, "tolist") else value
    if isinstance(items, list | tuple):
        return [_number(item, "it contains") for item in items]
    return [_number(items, "it is")]


def _number(value: Any, words: str) -> float:
    """Return a number as float. Raises ValueError, whose text begins with `words`, for any other value."""
    value = plain(value)
    shown = f"{words} {reprlib.repr(value)}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown} instead of a number")  # noqa: TRY004  # a fault of the data
    if value != value or value in {math.inf, -math.inf}:  # noqa: PLR0124  # NaN differs from itself
        raise ValueError(f"{shown} instead of a finite number")
    if abs(value) > _MAX_NUMBER:
        raise ValueError(f"{shown}, and numbers go up to {_MAX_NUMBER:g}")
    return float(value)


def thinned(series: Sequence[float]) -> tuple[float, ...]:
    """Return a series; if it is too long for a record, every second, third, ... of its numbers."""
    return tuple(series[:: max(1, -(-len(series) // MAX_SERIES))])


def to_number(text: str) -> float | str:
    """Return the number that is written in a text, or the text."""
    text = text.strip()
    return float(text) if len(text) <= _MAX_DIGITS and _NUMBER.fullmatch(text) else text
