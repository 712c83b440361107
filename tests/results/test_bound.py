"""The bound of a run and of its steps."""

from __future__ import annotations

import pytest

from pytest_edgeload.results.bound import Bound, Loop
from pytest_edgeload.results.measurement import Measurement

ONCE = Bound(read_bytes=100, read_s=10.0, compute_s=8.0)


def test_bound_is_the_longer_of_reading_and_computing() -> None:
    """The bound of a measurement is the longer time, because reading and computing can overlap."""
    for read_s, compute_s in ((2.0, 3.0), (3.0, 2.0)):
        measurement = Bound(8, read_s, compute_s).complete(Measurement(outcome="ok"))
        assert (measurement.bound_s, measurement.bound_read_bytes) == (3.0, 8)
        assert (measurement.bound_read_s, measurement.bound_compute_s) == (read_s, compute_s)
        assert measurement.bound_step_s is None


@pytest.mark.parametrize(
    ("room_bytes", "step_s", "read_s"),
    [
        (None, 2.0, 10.0),  # everything fits: a step only computes
        (100, 2.0, 10.0),
        (90, 2.0, 13.0),  # reading 10 bytes takes one second, which hides behind computing
        (25, 7.5, 32.5),
        (-5, 10.0, 40.0),  # without any room all is read in each step
    ],
)
def test_loop_reads_in_each_step_what_does_not_fit(room_bytes: int | None, step_s: float, read_s: float) -> None:
    """A step takes the longer of computing and of reading the weights beyond the room; the first step reads all."""
    bound = ONCE.with_loops([Loop("net", steps=4, weights_bytes=100, compute_s=2.0)], room_bytes)
    assert (bound.step_s, bound.read_s, bound.compute_s) == (step_s, read_s, ONCE.compute_s)
    assert bound.read_bytes == 10 * read_s
    assert bound.complete(Measurement(outcome="ok")).bound_step_s == step_s


def test_sequences_of_one_network_share_what_they_read() -> None:
    """Two sequences of a network can read each byte once for both; those of two networks cannot."""
    loop = Loop("net", steps=4, weights_bytes=50, compute_s=2.0)
    shared, apart = (
        ONCE.with_loops([loop, Loop(name, steps=2, weights_bytes=50, compute_s=6.0)], 20) for name in ("net", "other")
    )
    assert (shared.read_s, apart.read_s) == (10.0 + 9.0, 10.0 + 9.0 + 3.0)
    assert shared.step_s == apart.step_s == pytest.approx((3 * 3.0 + 1 * 6.0) / 4)


def test_bound_without_loops_has_none_of_steps() -> None:
    """Requests of one step leave the bound as it is."""
    assert ONCE.with_loops([], 25) is ONCE
