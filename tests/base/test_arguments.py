"""Arguments of the public API: unambiguous values become plain ones, all others are refused with their name."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import UsageError

POLICIES = Enum("POLICIES", {"BULK": "bulk"}, type=str)
COUNTS = IntEnum("COUNTS", {"TWO": 2})


def refusal(convert: Callable[..., object], *args: Any, **options: Any) -> str:
    with pytest.raises(BadArgument) as caught:
        convert("name", *args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "value", [2, 2.0, np.int64(2), np.uint8(2), np.float32(2), np.array(2), Decimal(2), Fraction(2), COUNTS.TWO]
)
def test_numbers_become_plain(value: Any) -> None:
    """A number of any type becomes Python's own `int` or `float`."""
    for convert, kind in ((arguments.whole, int), (arguments.number, float), (arguments.seconds, float)):
        found = convert("name", value)
        assert (type(found), found) == (kind, 2)


@pytest.mark.parametrize("value", [True, np.True_, "2", b"2", None, [2], np.array([2]), 2j, timedelta(2), object])
def test_other_values_are_not_numbers(value: Any) -> None:
    """Truth values, texts and everything with several items are refused as numbers."""
    assert "not a whole number; give one such as 2" in refusal(arguments.whole, value)
    assert "not a number; give one such as 0.5" in refusal(arguments.number, value)


@pytest.mark.parametrize("value", [2.5, np.float64(2.5), math.nan, math.inf, Decimal("NaN"), Fraction(5, 2)])
def test_fractions_are_not_whole(value: Any) -> None:
    """A number with a fraction, an infinite one and NaN are refused as whole numbers."""
    assert "not a whole number" in refusal(arguments.whole, value)


def test_whole_numbers_have_bounds() -> None:
    """A whole number outside of its bounds is refused with the bound."""
    assert refusal(arguments.whole, -1) == "name=-1: too small; give at least 0"
    assert refusal(arguments.whole, 9, 1, 8) == "name=9: too large; give at most 8"
    assert refusal(arguments.number, 10**400).startswith("name=1000")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (timedelta(milliseconds=1500), 1.5),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.timedelta64(1_500_000_000, "ns"), 1.5),
        (np.float32(0.5), 0.5),
    ],
)
def test_durations_are_seconds(value: Any, expected: float) -> None:
    """A duration of Python or NumPy, in any unit, is its number of seconds."""
    assert arguments.seconds("name", value) == expected


def test_dates_of_numpy_are_dates() -> None:
    """A date of NumPy becomes a `datetime`, in any unit."""
    for unit in ("s", "ms", "ns"):
        date = np.datetime64("2026-11-16T18:15:46", unit)
        assert arguments.plain(date) == datetime(2026, 11, 16, 18, 15, 46)  # noqa: DTZ001  # NumPy has no zones


@pytest.mark.parametrize("value", ["bulk", np.str_("bulk"), POLICIES.BULK])
def test_texts_become_plain(value: Any) -> None:
    """Text of a derived type becomes `str` with the same characters."""
    found = arguments.text("name", value)
    assert (type(found), found) == (str, "bulk")
    assert arguments.choice("name", value, ("bulk", "linear")) == "bulk"


@pytest.mark.parametrize("value", [b"bulk", 5, None, ["bulk"], Path("bulk")])
def test_other_values_are_not_texts(value: Any) -> None:
    """Bytes, numbers and paths are refused as names."""
    assert refusal(arguments.text, value) == f"name={value!r}: not text; give text in quotes"
    assert "not a choice; choose from bulk, linear" in refusal(arguments.choice, value, ("bulk", "linear"))


def test_a_near_miss_of_a_choice_is_named() -> None:
    """A misspelled choice is refused with the one that was meant."""
    assert (
        refusal(arguments.choice, "linaer", ("bulk", "linear")) == "name='linaer': not a choice; did you mean linear?"
    )


@pytest.mark.parametrize(
    "value", [("a", "b"), ["a", "b"], np.array(["a", "b"]), (name for name in "ab"), {"a": 1, "b": 2}.keys()]
)
def test_texts_are_listed(value: Any) -> None:
    """Any ordered collection of texts is a list of them."""
    assert arguments.texts("name", value, "give a list") == ("a", "b")


def test_a_single_text_is_a_list_of_itself() -> None:
    """A text is not taken apart into its letters."""
    assert arguments.texts("name", "digits", "give a list") == ("digits",)


@pytest.mark.parametrize("value", [5, b"ab", {"a"}, {"a": 1}, None])
def test_other_values_are_not_lists(value: Any) -> None:
    """Values without an order, or without items, are refused as lists."""
    assert refusal(arguments.texts, value, "give a list") == f"name={value!r}: not a list; give a list"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("a b", "a b"),
        (5, "5"),
        (0.1, "0.1"),
        (np.int64(5), "5"),
        (np.float64(0.1), "0.1"),
        (b"/bin/\xff", "/bin/\udcff"),
        (Path("/bin/true"), "/bin/true"),
        (COUNTS.TWO, "2"),
    ],
)
def test_words_of_commands(value: Any, word: str) -> None:
    """Numbers, bytes and paths are words of a command as Python and the file system write them."""
    assert arguments.word("name", value) == word


@pytest.mark.parametrize("value", [None, True, np.False_, ["a"], {}, 2j])
def test_values_without_one_spelling_are_not_words(value: Any) -> None:
    """Truth values, None and collections are refused, because programs write them in several ways."""
    hint = "neither text, a number nor a path; give text in quotes, as the program reads it"
    assert refusal(arguments.word, value).endswith(hint)


def test_a_word_ends_at_nul() -> None:
    """A word with a NUL character is refused, because the kernel would cut it."""
    assert (
        refusal(arguments.word, "a\0b") == r"name='a\x00b': contains a NUL character, which ends a word; leave it out"
    )


def test_a_bad_argument_is_an_error_of_both_kinds() -> None:
    """Callers of Python catch it as ValueError, the front ends as UsageError; long values are shortened."""
    assert issubclass(BadArgument, ValueError)
    assert issubclass(BadArgument, UsageError)
    assert len(refusal(arguments.number, "x" * 10_000)) < 100
