"""The least value that works."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.search import confirmed, least


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 300), st.integers(1, 400))
def test_least(low: int, guess: int, least_good: int, size: int) -> None:
    """Where all from some value on work, that value is found, or the lowest; nothing is asked twice, nor in vain."""
    asked: list[int] = []
    most = low + size

    def works(value: int) -> bool:
        asked.append(value)
        return value >= least_good

    expected = None if least_good > most else max(low, least_good)
    assert least(low, guess, most, works) == expected
    assert len(set(asked)) == len(asked)
    assert all(low <= value <= most for value in asked)
    assert len(asked) <= 20


def test_confirmed() -> None:
    """What was found must work once more; what is tried instead, twice."""
    answers = {5: [False], 6: [True, False], 7: [True, True]}
    assert confirmed(5, 9, lambda value: answers[value].pop(0)) == 7
    assert answers == {5: [], 6: [], 7: []}
    assert confirmed(5, 9, lambda value: value == 5) == 5
    assert confirmed(5, 6, lambda _value: False) is None
