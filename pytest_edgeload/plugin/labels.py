"""Texts for the values of parameters, for pytest's ids and the names of cases. Pure; every pytest start imports this.

A text is the same in every session. pytest's own id of most objects is the position in the list of values (`v0`), which
changes when a value is inserted before it.
"""

from __future__ import annotations

import enum
import os
import re
from numbers import Number

from pytest_edgeload.base.text import bounded, printable

MAX_CHARACTERS = 80
_MAX_ENTRIES = 100  # of a list or dict that is named by its entries, because a test may get a whole data set


def id_of(value: object) -> str | None:
    """Return the id of a value that pytest would name by its position or at full length; None for all others."""
    if isinstance(value, str | bytes):
        return _ascii(label(value)) if len(value) > MAX_CHARACTERS else None
    named = value is None or isinstance(value, bool | int | float | complex | enum.Enum | re.Pattern)
    return None if named or _has_name(value, "__name__") else _ascii(label(value))


def label(value: object) -> str | None:
    """Return a text for a value; None for an object that only its position could name."""
    text = _text(value)
    return None if text is None else bounded(printable(text), MAX_CHARACTERS)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if value is None or isinstance(value, Number | enum.Enum):
        return str(value)
    for attribute in ("__name__", "name"):
        if _has_name(value, attribute):
            return str(getattr(value, attribute))
    return repr(value) if _has_stable_repr(value) else None


def _has_name(value: object, attribute: str) -> bool:
    name = getattr(value, attribute, None)
    return isinstance(name, str) and name != ""


def _has_stable_repr(value: object) -> bool:
    """Return whether the repr of a value is complete, and free of addresses and of the order of a set."""
    if isinstance(value, dict | list | tuple) and len(value) > _MAX_ENTRIES:
        return False
    if isinstance(value, dict):
        return all(map(_has_stable_repr, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(_has_stable_repr, value))
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # of a class of the project
        return False
    return isinstance(value, str) or not any(mark in text for mark in (" at 0x", "...", "{"))


def _ascii(text: str | None) -> str | None:
    """Return `text` as pytest writes ids: escaped, because not every terminal shows all characters."""
    return None if text is None else text.encode("unicode_escape").decode("ascii")
