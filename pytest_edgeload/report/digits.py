"""The digits that a table shows of a value. Pure."""

from __future__ import annotations

import math

from pytest_edgeload.base.units import decimal_places, format_number, format_size
from pytest_edgeload.results.threshold import is_size

_THOUSAND = 1000
_BRIEF, _TINY = 0.1, 0.01  # seconds
_NEARLY_ONE = 0.99


def number(value: float, unit: str) -> str:
    """Return a value with the digits that a table shows; `unit` is that of its figure."""
    if is_size(unit):
        return format_size(round(value))
    if unit == "count":
        return f"{value / _THOUSAND:.1f}k" if value >= _THOUSAND else f"{value:.0f}"
    if unit == "ratio":
        return f"{value:.1f}" if abs(value) >= 1 else _share(value)
    return seconds(value) if unit == "s" else format_number(value)


def _share(value: float) -> str:
    """Return a ratio below 1 with two digits, and with up to five if it is so close to 1 that fewer would be 1."""
    if not _NEARLY_ONE < value < 1:
        return f"{value:.2g}"
    return next((text for places in (3, 4, 5) if (text := f"{value:.{places}f}")[0] == "0"), "1.0")


def seconds(value: float, min_digits: int = 2) -> str:
    """Return a time with as many decimal places as it needs, and at least `min_digits`."""
    return f"{value:.{max(min_digits, time_places(value))}f}"


def time_places(value: float) -> int:
    """Return the number of decimal places of a time; below 10 ms it has three significant digits."""
    size = abs(value)
    if size >= _BRIEF or size == 0:
        return 2
    return 3 if size >= _TINY else 2 - math.floor(math.log10(size))


def alike(value: float, other: float, unit: str) -> str:
    """Return a value with as many decimal places as `other` needs."""
    places = time_places(other) if unit == "s" else decimal_places(other)
    return number(value, unit) if is_size(unit) or places is None else f"{value:.{places}f}"
