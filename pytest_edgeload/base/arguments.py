"""Arguments of the public API: an unambiguous value is converted to a plain one, any other is refused by name.

Numbers of NumPy and PyTorch become Python's own, because records and the messages to workers are JSON. The converters
import neither library.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from pytest_edgeload.base.errors import UsageError, Words, suggestion

_T = TypeVar("_T")

_TIME_KINDS = {"m": "m8[us]", "M": "M8[us]"}
"""The types of NumPy for durations and dates, by kind. In microseconds they become Python's own."""

_WORD_HINT = "give text in quotes, as the program reads it"

MAX_INDEX = (1 << 31) - 1
"""The largest index of a sample or an output."""

MAX_SEED = (1 << 53) - 1
"""The largest seed, which all readers of JSON read exactly."""


class BadArgument(UsageError, ValueError):
    """An argument of the public API has a value that cannot be used. The subject is `name=value`."""

    @classmethod
    def of(cls, name: str, value: object, reason: Words, hint: Words = "") -> BadArgument:
        """Return the error about the argument `name`."""
        return cls(f"{name}={reprlib.repr(value)}", reason, hint)


def plain(value: Any) -> Any:
    """Return a scalar of NumPy or PyTorch as Python's own number, text, date or duration; any other value as it is."""
    if getattr(value, "shape", None) != () or not hasattr(value, "item"):
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return (value.astype(_TIME_KINDS[kind]) if kind in _TIME_KINDS else value).item()


def number(name: str, value: Any, hint: str = "give one such as 0.5") -> float:
    """Return a number as float. Raises BadArgument for any other value; True and False are not numbers."""
    if type(value) is float:
        return value
    scalar = plain(value)
    if hasattr(scalar, "__float__") and not isinstance(scalar, bool) and not hasattr(scalar, "shape"):
        with suppress(OverflowError, ValueError, TypeError):
            return float(scalar)
    raise BadArgument.of(name, value, "not a number", hint)


def seconds(name: str, value: Any) -> float:
    """Return a number of seconds, or the seconds of a `timedelta`, as float. Raises BadArgument."""
    if type(value) is float:
        return value
    scalar = plain(value)
    if isinstance(scalar, timedelta):
        return scalar.total_seconds()
    return number(name, value, "give a number of seconds, such as 0.5")


def whole(
    name: str, value: Any, at_least: int | None = 0, at_most: int | None = None, hint: str = "give one such as 2"
) -> int:
    """Return a whole number as int; 2.0 is one. Raises BadArgument if it is not, or not within the bounds."""
    found = value if type(value) is int else _whole(plain(value))
    if found is None:
        raise BadArgument.of(name, value, "not a whole number", hint)
    if at_least is not None and found < at_least:
        raise BadArgument.of(name, value, "too small", f"give at least {at_least}")
    if at_most is not None and found > at_most:
        raise BadArgument.of(name, value, "too large", f"give at most {at_most}")
    return found


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not hasattr(value, "__int__") or hasattr(value, "shape"):
        return None
    with suppress(OverflowError, ValueError, TypeError):  # infinite, NaN
        found = int(value)
        return found if found == value else None
    return None


def optional(convert: Callable[[str, Any], _T], name: str, value: Any) -> _T | None:
    """Return None for None, and any other value converted."""
    return None if value is None else convert(name, value)


def text(name: str, value: Any, hint: str = "give text in quotes") -> str:
    """Return text as `str`; types derived from `str` lose their type. Raises BadArgument."""
    if isinstance(value, str):
        return str.__str__(value)  # an enumeration of texts has its own `str`
    raise BadArgument.of(name, value, "not text", hint)


def flag(name: str, value: Any) -> bool:
    """Return True or False. Raises BadArgument for anything else."""
    if isinstance(value, bool):
        return value
    raise BadArgument.of(name, value, "neither True nor False", "")


def choice(name: str, value: Any, choices: Sequence[_T]) -> _T:
    """Return the one of `choices` that `value` equals. Raises BadArgument."""
    for each in choices:
        if isinstance(value, str) and each == value:
            return each
    shown = value if isinstance(value, str) else ""
    raise BadArgument.of(name, value, "not a choice", suggestion(shown, [str(each) for each in choices]))


def texts(name: str, value: Any, hint: str) -> tuple[str, ...]:
    """Return texts as a tuple. A single text means only itself. Raises BadArgument."""
    if isinstance(value, str):
        return (text(name, value),)
    return tuple(text(f"{name}[{i}]", each, hint) for i, each in enumerate(items(name, value, hint)))


def items(name: str, value: Any, hint: str) -> Iterable[Any]:
    """Return `value` if it has items in an order: not a text, bytes, a set or a mapping. Raises BadArgument."""
    if isinstance(value, str | bytes | bytearray | set | frozenset | dict) or not hasattr(value, "__iter__"):
        raise BadArgument.of(name, value, "not a list", hint)
    found: Iterable[Any] = value
    return found


def instances(name: str, value: Any, kind: type[_T], hint: str) -> tuple[_T, ...]:
    """Return the items of `value`, which all have the type `kind`. Raises BadArgument."""
    return tuple(instance(f"{name}[{i}]", each, kind, hint) for i, each in enumerate(items(name, value, hint)))


def instance(name: str, value: Any, kind: type[_T], hint: str) -> _T:
    """Return `value`, which has the type `kind`. Raises BadArgument."""
    if isinstance(value, kind):
        return value
    raise BadArgument.of(name, value, f"not of the type {kind.__name__}", hint)


def word(name: str, value: Any) -> str:
    """Return text, bytes, a path or a number as a word of a command line or an environment. Raises BadArgument.

    True, False and None are refused: programs spell them differently.
    """
    scalar = plain(value)
    if isinstance(scalar, str | bytes | os.PathLike):
        found = os.fsdecode(scalar)
    elif isinstance(scalar, int | float) and not isinstance(scalar, bool):
        found = str(scalar)
    else:
        raise BadArgument.of(name, value, "neither text, a number nor a path", _WORD_HINT)
    if "\0" in found:
        raise BadArgument.of(name, value, "contains a NUL character, which ends a word", "leave it out")
    return found


def path(name: str, value: Any) -> str:
    """Return a path, given as text, bytes or an object of `pathlib`, as text. Raises BadArgument."""
    if isinstance(value, str | bytes | os.PathLike):
        return os.fsdecode(value)
    raise BadArgument.of(name, value, "not a path", "give text in quotes, or a pathlib.Path")
