"""The peak of a run: the most memory that its processes held together, from all observations of it."""

from __future__ import annotations

from pytest_edgeload.results.measurement import Timeline
from pytest_edgeload.sandbox.counters import LATE_BYTES, Totals, reaches


def is_below(limit_bytes: int | None, totals: Totals) -> bool:
    """Return whether the kernel's mark proves that a group never reached its limit; None is no limit."""
    highest = totals.get("peak_charged_bytes")
    return highest is not None and (limit_bytes is None or not reaches(highest, limit_bytes))


def group_peak_bytes(timeline: Timeline, totals: Totals, late_bytes: int = LATE_BYTES) -> int:
    """Return the peak of a group without page cache: the largest sample, or more if the kernel's mark proves it.

    The kernel marks the highest charge, so no moment is too short for it. Of that charge, at most the largest sample of
    page cache, the memory of the kernel itself and `late_bytes` are something else. 0 without samples.
    """
    if not timeline.at_s:
        return 0
    sampled, page_cache = max(timeline.anon_bytes), max(timeline.file_bytes)
    others = page_cache + totals.get("kernel_bytes", 0) + late_bytes
    return max(sampled, totals.get("peak_charged_bytes", 0) - others)
