"""The sums for layers that were not measured follow from those that were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.measuring.speeds.fit import compute_speeds, least_squares, load_costs, merged
from pytest_edgeload.planning.machine_speeds import HUGE_BYTES, ComputeSpeed, LayerSize, LayerTime

TRUE = ComputeSpeed("linear", 1, 1e-4, 1e-10, 1e-9, 0.0, first_s=0.5)
SIZES = [LayerSize("linear", ops, 10**8 * i, 10**6 * (i % 4 + 1), 10**5) for i, ops in enumerate((1, 2, 5, 3, 9, 4))]


def test_sum_of_a_kind_is_found_again() -> None:
    """Layers whose times are a sum of their sizes give that sum."""
    times = [LayerTime(size, 1, TRUE.seconds(size) + 0.5, TRUE.seconds(size)) for size in SIZES]
    [everything, linear] = compute_speeds(times)
    assert (everything.kind, linear.kind) == ("", "linear")
    assert linear.first_s == pytest.approx(0.5)
    for size in SIZES:
        assert linear.seconds(size) == pytest.approx(TRUE.seconds(size), rel=0.01)


def test_kind_with_few_layers_has_no_sum_of_its_own() -> None:
    """Two layers are too few for four factors."""
    times = [LayerTime(size, threads, 1.0, 1.0) for size in SIZES[:2] for threads in (1, 2)]
    assert [(speed.kind, speed.threads) for speed in compute_speeds(times)] == [("", 1), ("", 2)]


@given(st.lists(st.tuples(*[st.floats(0, 10)] * 3), min_size=1, max_size=6))
def test_factors_are_not_negative_and_better_than_none(rows: list[tuple[float, ...]]) -> None:
    """No factor makes time negative, and the sum of squares is at most that of zeros."""
    factors = least_squares(rows, [1.0] * len(rows))
    rest = [1.0 - sum(f * a for f, a in zip(factors, row, strict=True)) for row in rows]
    assert min(factors) >= 0
    assert sum(r * r for r in rest) <= len(rows) + 1e-9


def test_times_of_several_workers_are_averaged() -> None:
    """A size that occurs in two networks has one time for each number of threads."""
    size = SIZES[0]
    times = [LayerTime(size, 1, 1.0, 0.5), LayerTime(size, 1, 3.0, 1.5), LayerTime(size, 2, 1.0, 1.0)]
    assert merged(times) == (LayerTime(size, 1, 2.0, 1.0), LayerTime(size, 2, 1.0, 1.0))


def test_a_kind_has_the_time_for_a_byte_of_weights_that_all_kinds_have() -> None:
    """A kind of which no layer has many weights says nothing about them."""
    linear = [LayerSize("linear", 1, 0, size_bytes, 0) for size_bytes in (10**6, 10**7, 10**8)]
    convolutions = [LayerSize("conv2d", 1, flops, 1000, 0) for flops in (10**8, 10**9, 2 * 10**9)]
    times = [LayerTime(size, 1, 1.0, 1e-10 * size.weight_bytes) for size in linear]
    times += [LayerTime(size, 1, 1.0, 1e-11 * size.flops) for size in convolutions]
    speeds = {speed.kind: speed for speed in compute_speeds(times)}
    assert speeds["conv2d"].s_per_weight_byte == speeds[""].s_per_weight_byte
    assert speeds["conv2d"].seconds(LayerSize("conv2d", 0, 0, 10**8, 0)) == pytest.approx(1e-2, rel=0.1)


@given(st.floats(1e-5, 1e-3), st.floats(1e-11, 1e-9))
def test_the_costs_of_loads_are_found(per_load_s: float, per_byte_s: float) -> None:
    """Loads of several sizes take their reading, a fixed time, and a time for each byte up to that of a huge page."""
    sizes = (10_000, 100_000, 10**6, 10**7, 10**8)
    loads = [(n, 1e-9 * n + per_load_s + per_byte_s * min(n, HUGE_BYTES)) for n in sizes]
    found = load_costs(loads, lambda n: 1e-9 * n)
    assert found == pytest.approx((per_load_s, per_byte_s), rel=0.01)
