"""Evidence: how likely chance alone is to explain a difference, and how small that must be among many comparisons.

Pure functions.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import cache, lru_cache

from pytest_edgeload.results.bootstrap import CONFIDENCE, Runs
from pytest_edgeload.results.statistics import value_of

DOUBT = 1 - CONFIDENCE
"""The doubt that all comparisons of a session share."""


_MAX_EXACT = 50  # runs of each side; from there on the normal distribution is exact enough


def rank_chance(lower: Runs, higher: Runs, stat: str) -> float:
    """Return the probability that runs of identical code are ordered like this, or separated even more.

    This is the exact test of Mann and Whitney (1947) on one value per run. It holds for any distribution of the runs.
    """
    low, high = ([value for run in side if (value := value_of([run], stat)) is not None] for side in (lower, higher))
    overlap = sum((a > b) + (a == b) / 2 for a in low for b in high)
    if min(len(low), len(high)) > _MAX_EXACT:
        mean, variance = len(low) * len(high) / 2, len(low) * len(high) * (len(low) + len(high) + 1) / 12
        return statistics.NormalDist(mean, math.sqrt(variance)).cdf(overlap + 0.5)
    orders = _orders(len(low), len(high))
    return sum(orders[: math.floor(overlap) + 1]) / sum(orders)


@cache
def _orders(low: int, high: int) -> tuple[int, ...]:
    """Return the number of orders of so many runs by the number of pairs in the wrong order.

    These are the coefficients of a Gaussian binomial: the product of (1 - q^(high + i)) / (1 - q^i) for i to `low`.
    """
    counts = [1] + [0] * (low * high)
    for i in range(1, low + 1):
        for power in range(len(counts) - 1, high + i - 1, -1):
            counts[power] -= counts[power - high - i]
        for power in range(i, len(counts)):
            counts[power] += counts[power - i]
    return tuple(counts)


def level(chances: Sequence[float], comparisons: int) -> float:
    """Return the largest probability that is evidence, by the procedure of Benjamini and Hochberg (1995).

    `chances` are those of all claims of one kind, sorted, among so many comparisons. On average at most 5 % of the
    claims that pass are false, and if nothing has changed, the probability that any passes is at most 5 %.
    """
    share = DOUBT / max(1, comparisons)
    for rank in range(len(chances), 0, -1):
        if chances[rank - 1] <= rank * share:
            return rank * share
    return share


@lru_cache
def rounds_needed(comparisons: int) -> int:
    """Return the rounds per side that a difference of times needs to be evidence without any other.

    All of n runs are slower than all of n others by chance in one of C(2n, n) cases.
    """
    rounds = 1
    while math.comb(2 * rounds, rounds) < comparisons / DOUBT:
        rounds += 1
    return rounds


def too_few_rounds(rounds: int, comparisons: int) -> str:
    """Return why so many rounds per side are too few; an empty text if they are enough."""
    needed = rounds_needed(comparisons)
    subject = "a comparison of times needs" if comparisons == 1 else f"{comparisons} comparisons of times need"
    return "" if rounds >= needed else f"{rounds} of {needed} rounds per side that {subject}"


def widening(comparisons: int) -> float:
    """Return how much wider than a 95 % interval one is that shares the doubt with so many comparisons."""
    normal = statistics.NormalDist()
    return normal.inv_cdf(DOUBT / (2 * comparisons)) / normal.inv_cdf(DOUBT / 2)
