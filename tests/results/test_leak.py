"""Leaks: steady growth is a leak, and steps, noise and warm-up are not."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.leak import MIN_REPETITIONS, growth

MIB = 1 << 20
SIZES = st.lists(st.integers(0, 1 << 40), min_size=MIN_REPETITIONS, max_size=100)


@pytest.mark.parametrize("count", [MIN_REPETITIONS, 9, 50, 1000])
def test_steady_growth_is_a_leak(count: int) -> None:
    """A function that keeps 1 MiB in each repetition leaks 1 MiB, and its interval has no width."""
    grown = growth([i * MIB for i in range(count)])
    assert grown is not None
    assert (grown.low, grown.leak, grown.high) == (MIB, MIB, MIB)


def test_few_repetitions_have_no_leak() -> None:
    """Fewer repetitions than that have no growth at all, rather than 0."""
    assert growth([0] * (MIN_REPETITIONS - 1)) is None


def test_one_step_is_not_a_leak() -> None:
    """Memory that grows once and stays is not a leak, wherever the step is."""
    for step in range(50):
        grown = growth([MIB if i >= step else 0 for i in range(50)])
        assert grown is not None
        assert grown.leak == 0


def test_warm_up_is_not_a_leak() -> None:
    """Memory that grows in the first fifth of the repetitions, and then stays, has no growth."""
    grown = growth([min(i, 10) * MIB for i in range(50)])
    assert grown is not None
    assert (grown.low, grown.leak, grown.high) == (0, 0, 0)


def test_noise_is_rarely_a_leak_and_does_not_hide_one() -> None:
    """Of 500 functions with noise and no leak, at most 5 % seem to leak; half or more of the leaking ones are seen."""
    chance = random.Random(1)
    alarms = seen = 0
    for _ in range(500):
        noise = [chance.gauss(0, 4 * MIB) for _ in range(50)]
        none, some = (
            growth([int(each) for each in noise]),
            growth([int(each) + i * MIB for i, each in enumerate(noise)]),
        )
        assert none is not None
        assert some is not None
        alarms += none.leak > 0
        seen += some.leak > 0
    assert alarms <= 25
    assert seen >= 250


@given(SIZES)
def test_leak_is_within_its_interval_or_zero(sizes: list[int]) -> None:
    """The interval contains the mean; the leak is the mean, or 0 if the interval reaches 0. Less memory is no leak."""
    grown = growth(sizes)
    assert grown is not None
    assert grown.low <= grown.mean <= grown.high
    assert grown.leak in {0.0, grown.mean}
    assert (grown.leak > 0) == (grown.low > 0)
    shrinking = growth([-size for size in accumulate(sizes)])
    assert shrinking is not None
    assert shrinking.leak == 0
