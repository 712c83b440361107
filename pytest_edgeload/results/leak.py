"""Leaks: how much more memory a function holds after each repetition, and how certain that is.

Memory grows in steps, and a repetition inherits the steps before it, so the line through all repetitions would look
certain after a single step. So the repetitions are cut into batches: the slopes of the batches are independent samples
of the growth (the method of batch means, B. Schmeiser, Operations Research 30, 1982).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_WARM_UP = 5  # the first of so many repetitions fills caches
_BATCHES = 5
_QUANTILE = 2.776  # 97.5 % of Student's distribution with one degree of freedom fewer than batches

MIN_REPETITIONS = 8
"""The fewest repetitions with a leak: those after the warm-up have five differences."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The mean growth in bytes per repetition, and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def leak(self) -> float:
        """The growth if it is certain; 0 if the interval includes 0 or is below."""
        return self.mean if self.low > 0 else 0.0


def growth(sizes: Sequence[int]) -> Growth | None:
    """Return the growth of the bytes after each repetition; None for fewer than MIN_REPETITIONS.

    The first fifth of the repetitions is left out.
    """
    if len(sizes) < MIN_REPETITIONS:
        return None
    kept = sizes[-(-len(sizes) // _WARM_UP) :]
    ends = [round(i * (len(kept) - 1) / _BATCHES) for i in range(_BATCHES + 1)]
    slopes = [_slope(kept[begin : end + 1]) for begin, end in pairwise(ends)]  # neighbours share a repetition
    mean = statistics.fmean(slopes)
    half = _QUANTILE * statistics.stdev(slopes) / _BATCHES**0.5
    return Growth(mean, mean - half, mean + half)


def _slope(sizes: Sequence[int]) -> float:
    """Return the slope of the least-squares line through the sizes."""
    return statistics.linear_regression(range(len(sizes)), sizes).slope
