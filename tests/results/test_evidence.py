"""The probability of chance, and the evidence that several comparisons need."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.evidence import level, rank_chance, rounds_needed, too_few_rounds, widening


@pytest.mark.parametrize(
    ("lower", "higher", "chance"),
    [
        ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], 1 / 20),  # all of three are above all of three others
        ([1.0, 2.0, 4.0], [3.0, 5.0, 6.0], 2 / 20),
        ([4.0, 5.0, 6.0], [1.0, 2.0, 3.0], 1.0),
        ([1.0], [2.0], 1 / 2),
    ],
)
def test_chance_is_the_share_of_orders(lower: list[float], higher: list[float], chance: float) -> None:
    """The chance is the share of all orders of the runs that separate the sides as much."""
    found = rank_chance([[value] for value in lower], [[value] for value in higher], "median")
    assert found == pytest.approx(chance)


@given(st.integers(1, 10_000))
def test_needed_rounds_exclude_separation_by_chance(comparisons: int) -> None:
    """With the needed rounds, complete separation by chance is rarer than the confidence allows."""
    rounds = rounds_needed(comparisons)
    assert 1 / math.comb(2 * rounds, rounds) <= 0.05 / comparisons * (1 + 1e-9)
    assert rounds == 1 or 1 / math.comb(2 * rounds - 2, rounds - 1) > 0.05 / comparisons * (1 - 1e-9)


def test_reason_names_the_missing_rounds() -> None:
    """The reason has the number of rounds, the number that is needed, and the comparisons that need it."""
    assert too_few_rounds(3, 1) == ""
    assert too_few_rounds(2, 1) == "2 of 3 rounds per side that a comparison of times needs"
    assert too_few_rounds(5, 9000) == "5 of 10 rounds per side that 9000 comparisons of times need"


def test_one_comparison_needs_five_percent() -> None:
    """One comparison alone has the whole doubt; one of a thousand has a thousandth."""
    assert level([], 1) == pytest.approx(0.05)
    assert level([0.04], 1000) == pytest.approx(0.05 / 1000)


def test_many_claims_are_evidence_for_each_other() -> None:
    """If eight hundred of ten thousand comparisons have a chance of 1 in 252, all of them hold."""
    assert level([1 / 252] * 800, 10_000) >= 1 / 252
    assert level([1 / 252] * 700, 10_000) < 1 / 252


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(30, 100), st.floats(0, 1))
def test_another_claim_never_takes_evidence_away(chances: list[float], comparisons: int, another: float) -> None:
    """The level never falls when a claim is added, so a claim that holds may be reported at once."""
    assert level(sorted([*chances, another]), comparisons) >= level(sorted(chances), comparisons)


def test_identical_code_raises_an_alarm_in_one_session_of_twenty() -> None:
    """If nothing has changed, at most one of twenty sessions of a hundred comparisons has a claim that holds."""
    drawn = random.Random(7)
    sessions = [sorted(drawn.random() for _ in range(100)) for _ in range(2000)]
    alarms = sum(chances[0] <= level(chances, 100) for chances in sessions)
    assert alarms <= 0.06 * 2000


def test_more_comparisons_need_wider_intervals() -> None:
    """One comparison needs the 95 % interval, a thousand a wider one."""
    assert widening(1) == pytest.approx(1)
    assert 2 < widening(1000) < 2.2
