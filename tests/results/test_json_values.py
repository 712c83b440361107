"""Numbers in JSON: they are found in output as it comes, and everything that is not a number is refused by name."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.json_values import MAX_SERIES, document, find, is_series, numbers, thinned, to_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{\n "a": 1\n}\n', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('loading\n{"a": 1}\n{"a": 2}\ndone 3\n', {"a": 2}),
        ("[1]\n  [2]  \nnot [3]", [2]),
        ("7", 7),
        ('{"a": 1}\n{"a": ', {"a": 1}),
    ],
)
def test_document_is_all_output_or_its_last_line_of_json(text: str, value: Any) -> None:
    """The document is the whole output, or else its last line that is an object or a list."""
    assert document("it", text) == value


@pytest.mark.parametrize(
    "text", ["", "done\n", "{", "[" * 100_000, '{"a": ' * 50_000, "[" + "9" * 5000 + "]", "\n" * 9]
)
def test_other_output_contains_no_document(text: str) -> None:
    """Text, half an object, endless nesting and endless digits are refused in a sentence."""
    with pytest.raises(ValueError, match=r"^it contains no JSON that can be read"):
        document("it", text)


def test_key_that_is_there_twice_has_no_value() -> None:
    """A key that an object contains twice has no value; the others have."""
    value = document("it", '{"a": {"b": 1, "b": 2}, "c": NaN, "d": 3}')
    with pytest.raises(ValueError, match=r"^\$\.a\.b is there twice$"):
        find(value, ("a", "b"))
    assert find(value, ("d",)) == 3
    assert math.isnan(find(value, ("c",)))


@pytest.mark.parametrize("value", [True, None, "5", {}, [[1]], math.nan, math.inf, 10**400, -(10**101), b"5", object()])
def test_other_values_are_not_numbers(value: object) -> None:
    """Booleans, text, nested lists, NaN, infinity and huge numbers are refused by name."""
    with pytest.raises(
        ValueError, match=r"^it (is|contains) .* instead of a (finite )?number$|, and numbers go up to 1e\+100$"
    ):
        numbers(value)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (5, [5.0]),
        ([1, 2.5], [1.0, 2.5]),
        (np.float32(0.5), [0.5]),
        (np.arange(2), [0.0, 1.0]),
        ((), []),
        (np.int8(3), [3]),
    ],
)
def test_numbers_of_libraries_are_numbers(value: Any, found: list[float]) -> None:
    """Numbers of Python and NumPy, and lists and arrays of them, are numbers."""
    assert numbers(value) == found
    assert is_series(value) == (not np.isscalar(value))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_any_value_is_numbers_or_refused(value: Any) -> None:
    """Any JSON value is a list of finite numbers, or a ValueError."""
    try:
        found = numbers(json.loads(json.dumps(value)))
    except ValueError:
        return
    assert all(map(math.isfinite, found))


@pytest.mark.parametrize("text", ["31.2", " -1e3 ", "+.5", "7."])
def test_text_of_a_number_is_a_number(text: str) -> None:
    """A number in decimal or scientific notation is read."""
    assert to_number(text) == float(text)


@pytest.mark.parametrize("text", ["nan", "1_000", "1,5", "0x10", "", "9" * 101, "٣"])
def test_other_text_stays_text(text: str) -> None:
    """Notations of one language, or of none, stay text, so they are refused by name."""
    assert to_number(text) == text.strip()


@given(st.integers(0, 5 * MAX_SERIES))
def test_long_series_is_thinned_evenly(count: int) -> None:
    """A series keeps at most MAX_SERIES numbers, from its first to near its last, and a short one keeps all."""
    kept = thinned(range(count))
    assert len(kept) <= MAX_SERIES
    assert len({b - a for a, b in pairwise(kept)}) <= 1
    assert count > MAX_SERIES or kept == tuple(range(count))
