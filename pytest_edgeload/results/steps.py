"""Metrics of requests with several steps, and the steps whose ends a record keeps. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.percentiles import percentiles

MAX_KEPT_STEPS = 256
"""The most steps of a request whose ends a record keeps, so that it does not grow with the steps."""


def with_steps(measurement: Measurement, first_read_bytes: int) -> Measurement:
    """Return `measurement` with the metrics of its steps; unchanged if no request has several.

    `first_read_bytes` are the bytes that are read even if all weights stay in memory. The ends of all steps go in; the
    ones of some steps, see `kept_steps`, come out.
    """
    loops = [
        (ends_s, arrived_s)
        for ends_s, arrived_s in zip(measurement.step_ends_s, measurement.arrived_s, strict=False)
        if len(ends_s) > 1
    ]
    if not loops:
        return measurement
    times = percentiles([after - before for ends_s, _ in loops for before, after in pairwise(ends_s)])
    count, whole_s, read_bytes = sum(len(ends_s) for ends_s, _ in loops), measurement.makespan_s, measurement.read_bytes
    return msgspec.structs.replace(
        measurement,
        first_step_s=statistics.fmean(ends_s[0] - arrived_s for ends_s, arrived_s in loops),
        step_mean_s=times.mean_s,
        step_p50_s=times.p50_s,
        step_p90_s=times.p90_s,
        step_p99_s=times.p99_s,
        steps_per_s=count / whole_s if whole_s else None,
        read_per_step_bytes=(
            None if read_bytes is None else round(max(0, read_bytes - first_read_bytes) / (count - len(loops)))
        ),
        step_ends_s=tuple(tuple(own[i] for i in kept_steps(len(own))) for own in measurement.step_ends_s),
    )


def kept_steps(steps: int) -> Sequence[int]:
    """Return the indices of the steps whose ends are kept: all, or about equally many from the first to the last."""
    if steps <= MAX_KEPT_STEPS:
        return range(steps)
    return [i * (steps - 1) // (MAX_KEPT_STEPS - 1) for i in range(MAX_KEPT_STEPS)]
