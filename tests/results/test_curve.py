"""The choice of the limits of a curve."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_edgeload.results.curve import END_RATIO, PIECE_RATIO, next_limit, noise, points
from pytest_edgeload.results.minmem import CurvePoint, Trial

STEP = 4
tops = st.integers(64, 4096).map(lambda steps: steps * STEP)


def _drawn(value: Callable[[int], float | None], top: int, budget: int = 60) -> list[CurvePoint]:
    """Return the points of the curve of `value` after at most `budget` runs, the smallest limit first."""
    known = [CurvePoint(top, value(top))]
    while (limit := next_limit(known, noise([]), STEP, STEP)) is not None and len(known) <= budget:
        assert STEP <= limit < top
        assert limit % STEP == 0
        assert limit not in {point.limit_bytes for point in known}
        known.append(CurvePoint(limit, value(limit)))
    return sorted(known, key=lambda point: point.limit_bytes)


@given(tops, st.floats(0.01, 0.9), st.floats(1.3, 1000))
def test_step_is_found(top: int, place: float, height: float) -> None:
    """A step of the figure ends up between two neighbours that are near to each other."""
    edge = place * top
    drawn = _drawn(lambda limit: 1.0 if limit >= edge else height, top)
    assume(drawn[0].limit_bytes < edge)
    below = max(point.limit_bytes for point in drawn if point.limit_bytes < edge)
    above = min(point.limit_bytes for point in drawn if point.limit_bytes >= edge)
    assert above <= PIECE_RATIO * below or above - below == STEP
    assert len(drawn) <= math.log2(top / STEP) + 8


@given(tops, st.floats(0, 0.02))
def test_flat_curve_takes_a_point_for_each_halving(top: int, ripple: float) -> None:
    """A flat curve, and one that changes less than the noise, is split no further than by halves."""
    drawn = _drawn(lambda limit: 1.0 + ripple * (limit // STEP % 2), top)
    assert len(drawn) <= math.log2(top / STEP) + 2


@given(tops, st.floats(0.01, 0.99))
def test_end_is_bracketed_first(top: int, place: float) -> None:
    """The smallest limit that works is known to a quarter, or to a step."""
    drawn = _drawn(lambda limit: 1.0 if limit >= place * top else None, top)
    failing = [point.limit_bytes for point in drawn if point.value is None]
    working = [point.limit_bytes for point in drawn if point.value is not None]
    assert working
    if failing:
        assert working[0] <= END_RATIO * failing[-1] or working[0] - failing[-1] <= STEP
    else:
        assert working[0] == STEP


@given(tops)
def test_bend_takes_more_runs_than_the_flat_part(top: int) -> None:
    """Of a curve that rises below a fifth of its range, most points are there."""
    bend = top / 5
    drawn = _drawn(lambda limit: max(1.0, (bend / limit) ** 2), top)
    rising = [point for point in drawn if point.limit_bytes < bend]
    assert len(rising) > len(drawn) / 2


def test_noise_is_the_change_between_equal_runs() -> None:
    """The noise is the range of the repeated runs in powers of two, and never nothing."""
    assert noise([1.0, 2.0, 1.5]) == 1.0
    assert 0 < noise([1.0, 1.0]) == noise([]) < 0.05


def test_change_within_the_noise_is_not_a_bend() -> None:
    """Two neighbours that differ less than repeated runs do are not split."""
    known = [CurvePoint(800, 1.0), CurvePoint(440, 1.4), CurvePoint(400, None)]
    assert next_limit(known, noise([1.0, 1.5]), STEP, STEP) is None
    assert next_limit(known, noise([1.0, 1.1]), STEP, STEP) == 592


def test_figure_that_leaves_zero_is_split() -> None:
    """From zero to any other value is a long piece."""
    assert next_limit([CurvePoint(800, 0.0), CurvePoint(440, 5.0), CurvePoint(400, None)], noise([]), STEP, STEP) == 592


def test_points_are_medians_of_runs_that_all_worked() -> None:
    """A point has the median of its runs; it has no value if a run failed, or lacks the figure."""

    def trial(limit: int | None, seconds: float | None, *, may_swap: bool = True) -> Trial:
        values = {} if seconds is None else {"makespan": seconds}
        return Trial(limit, may_swap, "ok", values=values)

    trials = [
        trial(None, 1.0), trial(None, 3.0), trial(None, 2.0), trial(40, 5.0), trial(20, 9.0), trial(20, None),
        trial(30, 1.0, may_swap=False), Trial(40, may_swap=True, outcome="ok", values={"makespan": 6.0}),
    ]  # fmt: skip
    assert points(trials, "makespan", 100, may_swap=True) == (
        CurvePoint(100, 2.0, is_plenty=True), CurvePoint(40, 5.5), CurvePoint(20, None, outcome="absent"),
    )  # fmt: skip
