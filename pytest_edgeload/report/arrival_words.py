"""Arrivals as a person would write them. Pure; the words of a case stay as they are, because they identify it."""

from __future__ import annotations

import re
from fractions import Fraction

_NO_JITTER = re.compile(r", jitter 0 (s|service times)(?![^,;)])")
_DIGITS = re.compile(r"(?<![\w.])\d+\.\d{12,}(?![\w.])")
_MAX_TERM = 999


def shortened(words: str) -> str:
    """Return the arrivals of a case without a jitter of 0, and with `1/30` instead of `0.03333333333333333`."""
    return _DIGITS.sub(lambda found: _fraction(found[0]), _NO_JITTER.sub("", words))


def _fraction(digits: str) -> str:
    """Return the fraction of small numbers that has exactly this value; without one, the digits as they are."""
    fraction = Fraction(digits).limit_denominator(_MAX_TERM)
    is_exact = float(fraction) == float(digits) and fraction.numerator <= _MAX_TERM
    return str(fraction) if is_exact else digits
