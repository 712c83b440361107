"""The search for the smallest value that works."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.minmem import confirmed, smallest


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 300), st.integers(1, 400))
def test_smallest_working_value_is_found_in_few_trials(low: int, guess: int, min_good: int, size: int) -> None:
    """If all values from some value on work, the search returns it, or the lowest; it tries no value twice."""
    tried: list[int] = []
    high = low + size

    def works(value: int) -> bool:
        tried.append(value)
        return value >= min_good

    expected = None if min_good > high else max(low, min_good)
    assert smallest(low, guess, high, works) == expected
    assert len(set(tried)) == len(tried)
    assert all(low <= value <= high for value in tried)
    assert len(tried) <= 20


def test_candidate_is_confirmed_by_a_second_run() -> None:
    """The candidate must work once more, and every other value twice."""
    answers = {5: [False], 6: [True, False], 7: [True, True]}
    assert confirmed(5, 9, lambda value: answers[value].pop(0)) == 7
    assert answers == {5: [], 6: [], 7: []}
    assert confirmed(5, 9, lambda value: value == 5) == 5
    assert confirmed(5, 6, lambda _value: False) is None
