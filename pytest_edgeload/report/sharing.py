"""Sentences about runs that may overlap with others: how many did, why others did not, and the interference. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator

from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record


def sharing(records: Iterable[Record]) -> Iterator[str]:
    """Yield a sentence on each fact about the sharing of the machine; none of a session whose runs took turns."""
    runs = [m for record in records for m in record.rounds if m.sharing.cores or m.sharing.reason]
    if not runs:
        return
    beside = [m for m in runs if m.sharing.neighbours]
    yield f"{len(beside)} of {len(runs)} runs overlapped with others, each on cores of its own"
    reasons = Counter(m.sharing.reason for m in runs if m.sharing.reason)
    for reason, count in reasons.most_common():
        yield f"{count} {'run' if count == 1 else 'runs'} waited for others: {reason}"
    ratios = sorted(ratio for m in beside if (ratio := interference(m)) is not None)
    if ratios:
        spanned = f", {ratios[0]:.2f} to {ratios[-1]:.2f}" if len(ratios) > 1 else ""
        pairs = f"median of {len(ratios)} pairs{spanned}" if len(ratios) > 1 else "1 pair"
        yield f"next to others, runs took {statistics.median(ratios):.2f} times as long as alone ({pairs})"
    elif beside:
        yield "the interference of runs that overlapped was not measured: none has the time of a repetition alone"


def interference(run: Measurement) -> float | None:
    """Return the makespan of a run next to others, relative to that of the same run alone; None if it is not known."""
    alone_s = run.sharing.alone_s
    return run.makespan_s / alone_s if run.makespan_s is not None and alone_s else None
