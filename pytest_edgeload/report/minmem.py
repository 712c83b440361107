"""The smallest limits of a case as text or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.results.minmem import SWAPPED_BYTES, Smallest, Trial


def text(result: Smallest) -> str:
    """Return a line on each of the two limits with the runs near it, between a title and the units."""
    title = f"{result.workload} under {result.policy}, reader {result.reader}, {result.threads} threads"
    works = _line("works without swap", result, result.works_bytes, may_swap=False)
    keeps = _line("does not swap", result, result.keeps_in_memory_bytes, may_swap=True)
    if result.swap in {"none", "off"}:
        keeps = (
            f"{'does not swap':<18}  not tested, because swap is {result.swap}; a swap file, which needs root, helps"
        )
    units = (
        f"an idle worker needs {format_size(result.idle_bytes)}; limits are multiples of "
        f"{format_size(result.step_bytes)}; less than {format_size(SWAPPED_BYTES)} written to swap does not count"
    )
    return "\n".join([printable(f"{title}, cap {result.cap}"), works, keeps, units])


def line(trial: Trial) -> str:
    """Return a run in words, with the detail of an outcome other than ok and oom."""
    swapped = ""
    if trial.swap_out_bytes is not None and trial.may_swap:
        swapped = f", {format_size(trial.swap_out_bytes)} to swap"
    reason = "" if trial.outcome in {"ok", "oom"} else f" ({printable(trial.detail)})"
    swap = "on" if trial.may_swap else "off"
    return f"{format_size(trial.limit_bytes)}, swap {swap}: {trial.outcome}{reason}{swapped}"


def _line(goal: str, result: Smallest, limit_bytes: int | None, *, may_swap: bool) -> str:
    if limit_bytes is None:
        return f"{goal:<18}  under no limit up to all memory"
    runs = len(result.at(limit_bytes, may_swap=may_swap))
    size = f"{limit_bytes} bytes, base+{format_size(limit_bytes - result.idle_bytes)}"
    failures = [
        trial
        for trial in result.trials
        if trial.may_swap == may_swap and trial.limit_bytes < limit_bytes and not trial.is_success
    ]
    nearest = max(failures, key=lambda trial: trial.limit_bytes, default=None)
    below = "no smaller limit failed" if nearest is None else f"at {line(nearest)}"
    against = _contradictions(result, limit_bytes, may_swap=may_swap)
    return f"{goal:<18}  from {format_size(limit_bytes)} ({size}): {runs} of {runs} runs; {below}{against}"


def _contradictions(result: Smallest, limit_bytes: int, *, may_swap: bool) -> str:
    """Return the limits with runs that contradict the smallest one, and the number of successful runs at each."""
    trials = result.contradicting(limit_bytes, may_swap=may_swap)
    counts = []
    for limit in sorted({trial.limit_bytes for trial in trials}):
        runs = result.at(limit, may_swap=may_swap)
        counts.append(f"{sum(trial.is_success for trial in runs)} of {len(runs)} at {format_size(limit)}")
    return f"; contradicted by successes of {', '.join(counts)}" if counts else ""


def _json(result: Smallest) -> str:
    return msgspec.json.format(msgspec.json.encode(result)).decode()


FORMATS: Mapping[str, Callable[[Smallest], str]] = {"text": text, "json": _json}
"""The formats of the result by name."""
