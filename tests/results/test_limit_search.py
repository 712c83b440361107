"""The search for the smallest limit that meets a goal."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.limit_search import LimitGrid, Search, confirmed, smallest
from pytest_edgeload.results.minmem import Goal, Margin, Trial

WORKS = Goal(may_swap=False)
STEPS = LimitGrid(4, 1, 100)


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


@given(st.integers(1, 10_000), st.integers(0, 1_000_000))
def test_value_that_is_not_certain_costs_few_runs(candidate: int, size: int) -> None:
    """Values above the candidate are tried in order, ever further apart, up to the last one."""
    tried: list[int] = []

    def fails(value: int) -> bool:
        tried.append(value)
        return False

    assert confirmed(candidate, candidate + size, fails) is None
    assert tried == sorted(set(tried))
    assert (tried[0], tried[-1]) == (candidate, candidate + size)
    assert len(tried) <= 23


def _search(outcome: Callable[[int, int], bool], rounds: int = 1) -> Search:
    """Return a search of limits in steps of 4 bytes; `outcome` gets the limit in steps and the number of the run."""
    search: Search

    def measure(limit_bytes: int | None, *, may_swap: bool) -> Trial:
        assert limit_bytes is not None
        works = outcome(limit_bytes // 4, len(search.trials))
        return Trial(limit_bytes, may_swap, "ok" if works else "oom", values={"makespan": 400 / limit_bytes})

    search = Search(measure, rounds)
    return search


@given(st.integers(1, 110), st.integers(1, 500), st.integers(1, 3))
def test_result_is_a_multiple_of_the_step_that_succeeded_in_twice_the_rounds(
    need: int, guess: int, rounds: int
) -> None:
    """The result is the smallest multiple that works; every run there succeeded, and one below it failed."""
    search = _search(lambda step, _: step >= need, rounds)
    found = search.smallest(WORKS, guess, STEPS)
    if need > 100:
        assert found is None
    else:
        assert found == 4 * need
        assert [trial.outcome for trial in search.trials if trial.limit_bytes == found] == ["ok"] * 2 * rounds
        below = [trial.outcome for trial in search.trials if trial.limit_bytes == found - 4]
        assert below == ["oom"] or need == 1


def test_chance_success_is_not_the_result() -> None:
    """A limit at which one of two runs fails is not the result."""
    search = _search(lambda step, run: step >= 20 or run == 1)  # the second run works by chance
    assert search.smallest(WORKS, 400, STEPS) == 80
    assert [trial.limit_bytes for trial in search.trials[:2]] == [400, 200]


def test_second_goal_uses_the_runs_of_the_first() -> None:
    """No limit is run more often than the result needs, however many goals look at it."""
    search = _search(lambda step, _: step >= 20)
    works = search.smallest(WORKS, 200, STEPS)
    runs = len(search.trials)
    quick = Goal(may_swap=False, margin=Margin("makespan", 1.0, 400 / 120, is_higher_better=False))
    assert works == 80
    assert search.smallest(quick, 80, STEPS) == 120
    assert len(search.trials) <= runs + 6
    assert search.smallest(WORKS, 200, STEPS) == 80
    assert max([trial.limit_bytes for trial in search.trials].count(limit) for limit in (80, 120)) == 2


def test_goal_with_swap_has_runs_of_its_own() -> None:
    """Runs without swap say nothing about a goal with swap."""
    search = _search(lambda step, _: step >= 20)
    assert search.smallest(WORKS, 80, STEPS) == search.smallest(Goal(may_swap=True), 80, STEPS) == 80
    assert {trial.may_swap for trial in search.trials} == {True, False}
