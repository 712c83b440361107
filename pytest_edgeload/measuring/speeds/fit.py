"""The sums that estimate the times of layers that were not measured, fitted to those that were. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from pytest_edgeload.planning.machine_speeds import HUGE_BYTES, ComputeSpeed, LayerSize, LayerTime

_MIN_LAYERS = 3  # of a kind, for a sum of its own
_ROUNDS = 500  # of the fit; it converges in far fewer


def merged(times: Iterable[LayerTime]) -> tuple[LayerTime, ...]:
    """Return the times with one for each size and number of threads: the mean of several workers' times."""
    groups: dict[tuple[LayerSize, int], list[LayerTime]] = {}
    for time in times:
        groups.setdefault((time.size, time.threads), []).append(time)
    return tuple(
        LayerTime(*key, statistics.fmean(t.first_s for t in group), statistics.fmean(t.later_s for t in group))
        for key, group in groups.items()
    )


def compute_speeds(times: Iterable[LayerTime]) -> tuple[ComputeSpeed, ...]:
    """Return the sums for each number of threads: of all layers together, and of each kind with enough layers."""
    groups: dict[tuple[str, int], list[LayerTime]] = {}
    for time in times:
        groups.setdefault(("", time.threads), []).append(time)
        groups.setdefault((time.size.kind, time.threads), []).append(time)
    everything = {threads: _fitted(group) for (kind, threads), group in groups.items() if not kind}
    return tuple(
        everything[threads] if not kind else _fitted_of_kind(kind, everything[threads], group)
        for (kind, threads), group in groups.items()
        if not kind or len(group) >= _MIN_LAYERS
    )


def _fitted(times: Sequence[LayerTime]) -> ComputeSpeed:
    """Return the sum with the smallest squares of relative errors; none of its factors is negative."""
    rows = [[value / time.later_s for value in time.size[1:]] for time in times]
    per_op, per_flop, per_weight, per_activation = least_squares(rows, [1.0] * len(rows))
    return ComputeSpeed("", times[0].threads, per_op, per_flop, per_weight, per_activation, _extra_s(times))


def _fitted_of_kind(kind: str, common: ComputeSpeed, times: Sequence[LayerTime]) -> ComputeSpeed:
    """Return the same for layers of one kind, with the time for a byte of weights that all kinds have in common.

    Memory is as fast for all of them, and the sizes of a few layers of one kind do not show it.
    """
    per_weight = common.s_per_weight_byte
    rows = [[size.ops, size.flops, size.activation_bytes] for size in (time.size for time in times)]
    rest = [max(0.0, 1 - per_weight * time.size.weight_bytes / time.later_s) for time in times]
    relative = [[value / time.later_s for value in row] for row, time in zip(rows, times, strict=True)]
    per_op, per_flop, per_activation = least_squares(relative, rest)
    return ComputeSpeed(kind, common.threads, per_op, per_flop, per_weight, per_activation, _extra_s(times))


def _extra_s(times: Sequence[LayerTime]) -> float:
    return statistics.median(max(0.0, time.first_s - time.later_s) for time in times)


def load_costs(loads: Iterable[tuple[int, float]], read_s: Callable[[int], float]) -> tuple[float, float]:
    """Return the seconds of a load, and of each of its first bytes up to `HUGE_BYTES`, besides reading.

    `loads` are bytes and seconds, and `read_s` returns the seconds of reading so many bytes.
    """
    rests = [(size_bytes, max(0.0, seconds - read_s(size_bytes)), seconds) for size_bytes, seconds in loads]
    rows = [[1 / seconds, min(size_bytes, HUGE_BYTES) / seconds] for size_bytes, _, seconds in rests]
    per_load_s, per_byte_s = least_squares(rows, [rest_s / seconds for _, rest_s, seconds in rests])
    return per_load_s, per_byte_s


def least_squares(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Return the factors x >= 0 that make `rows` times x nearest to `values`, by coordinate descent."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    squares = [sum(a * a for a in column) for column in columns]
    factors, rest = [0.0] * len(columns), list(values)
    for _ in range(_ROUNDS):
        for j, column in enumerate(columns):
            if squares[j]:
                step = max(sum(map(float.__mul__, column, rest)) / squares[j], -factors[j])
                factors[j] += step
                rest = [r - step * a for r, a in zip(rest, column, strict=True)]
    return factors
