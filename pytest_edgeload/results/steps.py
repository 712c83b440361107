"""Metrics of requests with several steps, and the steps whose ends a record keeps. Pure functions."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from pytest_edgeload.planning.span_log import KEPT_STEPS
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.percentiles import percentiles
from pytest_edgeload.workload import Ask

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


def resident_shares(run: Measurement, requests: Sequence[Ask]) -> dict[str, dict[int, float]]:
    """Return the share of each network's weights that a step finds in memory, by the network and the step.

    It is 1 minus the bytes that are loaded for the step over all bytes of weights, and 0 if requests load more than
    that. Steps count from 1; the first one, which loads all, is left out. Of the steps whose tasks are not kept one by
    one, the first and the last have the mean of all.
    """
    loads = {
        i: (requests[info.request].network, info)
        for i, info in enumerate(run.steps)
        if info.kind == "load" and info.request < len(requests)
    }
    weight_bytes = Counter[str]()
    for name, _, size_bytes in {(name, info.layer, info.weight_bytes) for name, info in loads.values()}:
        weight_bytes[name] += size_bytes
    last = {name: max(ask.steps for ask in requests if ask.network == name) - 1 for name in weight_bytes}
    loaded_bytes = Counter[tuple[str, int]]()
    for task, step, runs in _runs(run):
        if task in loads:
            name, info = loads[task]
            loaded_bytes[name, step] += info.weight_bytes * runs
    return {
        name: {
            step + 1: max(0.0, 1 - loaded_bytes[name, min(step, KEPT_STEPS)] / among / (total_bytes or 1))
            for step in sorted({*range(1, min(KEPT_STEPS, last[name]) + 1), last[name]})
            for among in [last[name] + 1 - KEPT_STEPS if step >= KEPT_STEPS else 1]
        }
        for name, total_bytes in weight_bytes.items()
        if last[name]
    }


def _runs(run: Measurement) -> Iterator[tuple[int, int, int]]:
    """Yield tasks, the step that each ran in, and how often; the later steps count as one."""
    yield from ((span.task, span.step, 1) for span in run.tasks)
    yield from ((total.task, KEPT_STEPS, total.runs) for total in run.totals)


def kept_steps(steps: int) -> Sequence[int]:
    """Return the indices of the steps whose ends are kept: all, or about equally many from the first to the last."""
    if steps <= MAX_KEPT_STEPS:
        return range(steps)
    return [i * (steps - 1) // (MAX_KEPT_STEPS - 1) for i in range(MAX_KEPT_STEPS)]
