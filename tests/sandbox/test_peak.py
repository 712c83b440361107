"""The peak of a group is its largest sample, or more if the kernel's mark proves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.measurement import Timeline
from pytest_edgeload.sandbox.counters import Totals
from pytest_edgeload.sandbox.peak import group_peak_bytes, is_below
from tests.sandbox.child import MIB


def timeline(*samples: tuple[int, int]) -> Timeline:
    """Return a time line of these samples of anonymous memory and page cache, in MiB."""
    anon, file = zip(*samples, strict=True) if samples else ((), ())
    return Timeline(
        tuple(0.01 * i for i in range(len(samples))),
        tuple(MIB * size for size in anon),
        tuple(MIB * size for size in file),
        (0,) * len(samples),
    )


@pytest.mark.parametrize(
    ("samples", "charged", "kernel", "late", "peak"),
    [
        ([(5, 0), (180, 0), (5, 0)], 184, 2, 1, 181),  # three children of 60 MiB: the last moments of the third
        ([(5, 1), (5, 2)], 160, 3, 1, 154),  # a spike between two samples
        ([(100, 0), (40, 300)], 400, 0, 1, 100),  # the mark is that of the page cache
        ([(100, 0), (40, 300)], 512, 2, 1, 209),  # the page cache explains only part of the mark
        ([(60, 0)], 70, 0, 32, 60),  # many processors charge in advance
        ([(60, 0)], None, 0, 1, 60),  # a kernel without the mark
        ([], 160, 0, 1, 0),  # nobody saw how much of it is page cache
    ],
)
def test_peak_is_what_the_observations_prove(
    samples: list[tuple[int, int]], charged: int | None, kernel: int, late: int, peak: int
) -> None:
    """The peak is the largest sample, or the kernel's mark less everything else that may be in it."""
    totals = Totals(kernel_bytes=kernel * MIB)
    if charged is not None:
        totals["peak_charged_bytes"] = charged * MIB
    assert group_peak_bytes(timeline(*samples), totals, late * MIB) == peak * MIB


_SIZES = st.integers(0, 1000)


@given(samples=st.lists(st.tuples(_SIZES, _SIZES), min_size=1), charged=_SIZES, late=_SIZES)
def test_peak_is_at_most_the_charge(samples: list[tuple[int, int]], charged: int, late: int) -> None:
    """The peak is never less than a sample, and more than all samples only up to the kernel's mark."""
    peak = group_peak_bytes(timeline(*samples), Totals(peak_charged_bytes=charged * MIB), late * MIB)
    largest = max(anon for anon, _ in samples) * MIB
    assert largest <= peak <= max(largest, charged * MIB)


@pytest.mark.parametrize(
    ("limit", "charged", "is_proven"),
    [
        (64, 61, True),
        (64, 63, False),  # a huge page did not fit
        (64, None, False),  # a kernel without the mark
        (None, 61, True),
    ],
)
def test_group_below_its_limit_is_known_by_the_mark(limit: int | None, charged: int | None, *, is_proven: bool) -> None:
    """A group certainly never reached its limit if the kernel's mark is a huge page below it."""
    totals = Totals() if charged is None else Totals(peak_charged_bytes=MIB * charged)
    assert is_below(limit and MIB * limit, totals) == is_proven
