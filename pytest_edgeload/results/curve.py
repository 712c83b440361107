"""The curve of a figure over the limit: which limit to try next, so that few runs show its bends. Pure.

Both axes are logarithmic. The end comes first: the smallest limit that works is bracketed. Then the longest piece
between two neighbours is split, until each spans at most about a factor of two in the limit, or a fifth in the figure.
On a flat curve that is a point for each halving of the limit; the others are at the bends.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from pytest_edgeload.results.minmem import CurvePoint, Trial

END_RATIO = 1.25
"""The end is known if the largest limit that fails is nearer than this to the smallest that works."""

PIECE_RATIO = 1.1
"""A piece between two limits that are nearer than this is not split."""

_LONG = 1.2  # above 1, because the halves of a limit are rounded to steps
_STRETCH = 4.0  # a change of the figure by a fifth is as long as a halving of the limit
_MAX_CHANGE = 4.0  # in powers of two; from or to zero a change is infinite
_MIN_NOISE = 0.03  # in powers of two, about 2 %


def noise(values: Sequence[float]) -> float:
    """Return the change, in powers of two, that repeated runs with plenty of memory show by themselves."""
    return max(_MIN_NOISE, _change(min(values), max(values))) if values else _MIN_NOISE


def points(trials: Sequence[Trial], figure: str, top_bytes: int, *, may_swap: bool) -> tuple[CurvePoint, ...]:
    """Return the points of the curve, the largest limit first. Runs without a limit are at `top_bytes`."""
    by_limit = defaultdict[int, list[Trial]](list)
    for trial in trials:
        if trial.may_swap == may_swap:
            by_limit[top_bytes if trial.limit_bytes is None else trial.limit_bytes].append(trial)
    return tuple(_point(limit, by_limit[limit], figure) for limit in sorted(by_limit, reverse=True))


def _point(limit_bytes: int, trials: Sequence[Trial], figure: str) -> CurvePoint:
    is_plenty = any(trial.limit_bytes is None for trial in trials)
    failures = [trial.outcome for trial in trials if not trial.works]
    values = [trial.values[figure] for trial in trials if figure in trial.values]
    if failures or len(values) < len(trials):
        outcome = statistics.mode(failures) if failures else "absent"
        return CurvePoint(limit_bytes, None, outcome=outcome, is_plenty=is_plenty)
    sizes = [trial.swap_out_bytes for trial in trials if trial.swap_out_bytes is not None]
    swapped = round(statistics.median(sizes)) if sizes else None
    return CurvePoint(limit_bytes, statistics.median(values), swapped, is_plenty=is_plenty)


def next_limit(known: Sequence[CurvePoint], noise: float, low_bytes: int, step_bytes: int) -> int | None:
    """Return the limit, a multiple of `step_bytes` from `low_bytes` on, that shows most about the curve.

    `known` has at least one point that works. None if the curve is clear: its end is known, and no piece is long.
    """
    working = sorted((p.limit_bytes, p.value) for p in known if p.value is not None)
    failing = [p.limit_bytes for p in known if p.value is None and p.limit_bytes < working[0][0]]
    end = _end(max(failing, default=None), working[0][0], low_bytes, step_bytes)
    if end is not None:
        return end
    pieces = [
        (_length(*left, *right, noise), middle)
        for left, right in pairwise(working)
        if right[0] > PIECE_RATIO * left[0] and (middle := _between(left[0], right[0], step_bytes)) is not None
    ]
    longest, middle = max(pieces, default=(0.0, None))
    return middle if longest > _LONG else None


def _end(failing: int | None, working: int, low: int, step: int) -> int | None:
    """Return the next limit of the search for the end; None if the end is known."""
    if failing is None:
        at = max(low, step * round(working / 2 / step))
        return at if at < working else None
    return _between(failing, working, step) if working > END_RATIO * failing else None


def _between(low: int, high: int, step: int) -> int | None:
    """Return the multiple of `step` next to the geometric mean that is strictly between; None without one."""
    first, last = low // step + 1, -(-high // step) - 1
    return min(max(first, round(math.sqrt(low * high) / step)), last) * step if first <= last else None


def _length(limit: int, value: float, next_limit: int, next_value: float, noise: float) -> float:
    change = _change(value, next_value)
    return math.hypot(math.log2(next_limit / limit), _STRETCH * change if change > noise else 0.0)


def _change(one: float, other: float) -> float:
    """Return the change between two values of a figure in powers of two."""
    low, high = sorted((one, other))
    if low > 0:
        return min(_MAX_CHANGE, math.log2(high / low))
    return 0.0 if low == high else _MAX_CHANGE
