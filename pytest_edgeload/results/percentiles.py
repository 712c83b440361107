"""Mean and percentiles of the times of one run. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Mean and percentiles, linear between neighbours, of times in seconds; None if there are none."""

    mean_s: float | None = None
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None


def percentiles(times: Sequence[float]) -> Percentiles:
    """Return mean and percentiles of times in seconds."""
    if not times:
        return Percentiles()
    spread = times if len(times) > 1 else [*times, *times]  # before Python 3.13 `quantiles` needs two values
    cuts = statistics.quantiles(spread, n=100, method="inclusive")
    return Percentiles(statistics.fmean(times), cuts[49], cuts[89], cuts[98])
