"""Metrics of streams: how many answers are in time, at which rate, and whether one stream suffers. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import msgspec

from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.percentiles import percentiles
from pytest_edgeload.results.stream_stats import StreamStats
from pytest_edgeload.workload import Request, Workload, awaited_requests

_MS_PER_S = 1000
_STEEPNESS = 15  # per millisecond, the default of XRBench 0.1
_MAX_EXPONENT = 36.0  # beyond it the score cannot be told from 0


def with_streams(measurement: Measurement, workload: Workload) -> Measurement:
    """Return `measurement`, which has response times, with the metrics of deadlines and of each stream.

    It is unchanged if no request has a deadline or belongs to a stream.
    """
    asked = workload.asked
    if all(request.deadline_s is None and not request.stream for request in asked):
        return measurement
    due = requests_due(asked, measurement.dropped, measurement.overrun)
    streams = {name: _stats(own, asked, measurement, due) for name, own in _by_stream(asked).items()}
    everything = _stats(range(len(asked)), asked, measurement, due)
    shares = [stats.in_time for stats in streams.values() if stats.in_time is not None]
    scores = [stats.xr_score for stats in streams.values() if stats.xr_score is not None]
    return msgspec.structs.replace(
        measurement,
        requests_due=everything.requests_due,
        in_time=everything.in_time,
        worst_in_time=min(shares, default=None),
        xr_score=statistics.fmean(scores) if scores else None,
        fairness=fairness(shares),
        overruns=everything.overruns if streams else None,
        streams=streams,
    )


def _by_stream(requests: Sequence[Request]) -> dict[str, list[int]]:
    """Return the indices of the requests of each stream, in order of its first request."""
    streams: dict[str, list[int]] = {}
    for r, request in enumerate(requests):
        if request.stream:
            streams.setdefault(request.stream, []).append(r)
    return streams


def requests_due(requests: Sequence[Request], dropped: Sequence[int], overrun: Sequence[int]) -> list[bool]:
    """Return for each request whether its answer was due: no condition failed on which it depends.

    `overrun` are those of the `dropped` requests that left a full queue. A request that was dropped because one of
    these has no answer is still due: whoever waits for it gets nothing.
    """
    lost, gone = set(overrun), set(dropped)
    for r, request in enumerate(requests):
        if r in gone and not lost.isdisjoint(_needed(request)):
            lost.add(r)
    return [r in lost or r not in gone for r in range(len(requests))]


def _needed(request: Request) -> set[int]:
    """Return the requests whose answers a request needs."""
    return awaited_requests(request) | (set() if request.when is None else {request.when.request})


def _stats(own: Sequence[int], requests: Sequence[Request], run: Measurement, due: Sequence[bool]) -> StreamStats:
    """Return the metrics of the requests with these indices."""
    assert run.response_s is not None  # the caller has set it
    answers = {r: response_s for r in own if (response_s := run.response_s[r]) is not None}
    delays = [_delay_s(requests[r], response_s) for r, response_s in answers.items()]
    times = percentiles(list(answers.values()))
    count, late = sum(due[r] for r in own), sum(delay_s > 0 for delay_s in delays)
    has_deadline = any(requests[r].deadline_s is not None for r in own)
    return StreamStats(
        requests=tuple(own),
        requests_due=count,
        in_time=(len(answers) - late) / count if count else None,
        deadline_misses=late if has_deadline else None,
        overruns=count - len(answers),
        rate_per_s=_rate_per_s(answers, {r: run.arrived_s[r] for r in {*run.overrun}.intersection(own) | {*answers}}),
        xr_score=xr_score(delays, count),
        response_mean_s=times.mean_s,
        response_p50_s=times.p50_s,
        response_p90_s=times.p90_s,
        response_p99_s=times.p99_s,
    )


def _delay_s(request: Request, response_s: float) -> float:
    """Return the seconds from the deadline to the answer; negative if it is in time."""
    return -math.inf if request.deadline_s is None else response_s - request.deadline_s


def _rate_per_s(answers: Mapping[int, float], arrived_s: Mapping[int, float]) -> float | None:
    """Return the answers per second of a stream; None if fewer than two of its requests arrived.

    The time is from the first arrival to the last answer, or to one mean interval after the last arrival if that is
    later: a camera that sends 30 frames lasts for 30 intervals.
    """
    if len(arrived_s) < 2:  # noqa: PLR2004
        return None
    first_s, last_s = min(arrived_s.values()), max(arrived_s.values())
    interval_s = (last_s - first_s) / (len(arrived_s) - 1)
    ends_s = [last_s + interval_s, *(arrived_s[r] + response_s for r, response_s in answers.items())]
    whole_s = max(ends_s) - first_s
    return len(answers) / whole_s if whole_s > 0 else None


def xr_score(delays_s: Sequence[float], due: int) -> float | None:
    """Return XRBench's score of a stream, from 0 to 1, given how late its answers were and how many were due.

    It is the mean real-time score of the requests due, dropped ones counting 0, times the share that was not dropped.
    The energy and accuracy scores count 1: energy is not measured, and a run with other outputs than plain PyTorch's is
    `wrong`. Kwon et al., XRBench: An Extended Reality (XR) Machine Learning Benchmark Suite for the Metaverse (MLSys
    2023), and `HET_scoring-module.hpp` of its published code, which gives 100 times as much.
    """
    return sum(map(real_time_score, delays_s)) / due * len(delays_s) / due if due else None


def real_time_score(delay_s: float) -> float:
    """Return 1 / (1 + exp(k x delay in ms)) with k = 15: 1 for an answer in time, 0.5 at the deadline, then 0."""
    exponent = _STEEPNESS * delay_s * _MS_PER_S
    return 1 / (1 + math.exp(exponent)) if exponent < _MAX_EXPONENT else 0.0


def fairness(shares: Sequence[float]) -> float | None:
    """Return Jain's index of the shares in time: 1 if all are equal, 1/n if only one of n streams has any.

    It is None if all are 0. Jain, Chiu and Hawe, A Quantitative Measure of Fairness and Discrimination for Resource
    Allocation in Shared Computer Systems (DEC-TR-301, 1984): (sum of x)^2 / (n x sum of x^2).
    """
    squares = len(shares) * sum(share * share for share in shares)
    return sum(shares) ** 2 / squares if squares else None
