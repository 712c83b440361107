"""The reader that `auto` chooses for a plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.engine.reader_choice import accept_direct, best_reader, cached_share
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import SPEEDS, network, timed_workloads

A, B, *OTHERS = (network((20, 1, 1), (20, 1, 1), name=name) for name in "abcde")
ONCE = Workload("once", (Request(A), Request(B)))
TWICE = Workload("twice", (Request(A), Request(B), Request(A)))
THRICE = Workload("thrice", (Request(A), Request(A), Request(A)))
MOSTLY_NEW = Workload("mostly new", tuple(Request(each) for each in (A, B, *OTHERS, A)))
"""Workloads of networks with 40 bytes in two layers."""


@pytest.mark.parametrize(
    ("policy", "asked", "memory_bytes", "share", "reader"),
    [
        ("bulk", ONCE, None, 0, "direct"),
        ("linear", ONCE, 100, 0, "direct"),
        ("linear", TWICE, None, 1 / 3, "read"),  # the page cache has the first network when it is asked again
        ("linear", TWICE, 120, 1 / 3, "read"),
        ("linear", TWICE, 60, 0, "direct"),  # 40 other bytes are read before the first network is needed again
        ("linear", THRICE, 80, 2 / 3, "read"),  # those of one network are found, although both exceed the memory
        ("linear", MOSTLY_NEW, None, 1 / 6, "direct"),  # too little to pay for copying all
        ("lru", TWICE, None, 0, "direct"),  # it keeps the network itself
        ("lru", TWICE, 60, 0, "direct"),
    ],
)
def test_page_cache_is_used_if_it_serves_a_good_share_of_the_loads(
    policy: str, asked: Workload, memory_bytes: int | None, share: float, reader: str
) -> None:
    """A plan reads through the page cache if that still has enough of the weights that are loaded again."""
    plan = POLICIES[policy](asked, Budget(memory_bytes, speeds=SPEEDS))
    assert cached_share(plan, asked, memory_bytes) == pytest.approx(share)
    assert best_reader(plan, asked, memory_bytes) == reader


def test_memory_of_the_plan_is_not_free_for_the_page_cache() -> None:
    """The cache loses bytes while a plan holds much: the same loads are found again beside small layers only."""
    wide = network((20, 60, 1), (20, 60, 1), name="wide")
    for other, share in ((B, 1 / 3), (wide, 0)):
        asked = Workload("between", (Request(A), Request(other), Request(A)))
        plan = POLICIES["linear"](asked, Budget(120, speeds=SPEEDS))
        assert cached_share(plan, asked, 120) == pytest.approx(share)


@given(timed_workloads(max_steps=5, queues=True), st.integers(0, 400))
def test_more_memory_never_serves_less(asked: Workload, memory_bytes: int) -> None:
    """A larger page cache has all that a smaller one has."""
    plan = POLICIES["linear"](asked, Budget(speeds=SPEEDS))
    shares = [cached_share(plan, asked, size) for size in (memory_bytes, memory_bytes + 50, None)]
    assert shares == sorted(shares)


def test_all_later_steps_of_a_loop_count() -> None:
    """A loop of 100 steps finds its weights in 99 of them."""
    looped = Workload("loop", (Request(A, steps=100),))
    assert cached_share(POLICIES["linear"](looped, Budget(speeds=SPEEDS)), looped, None) == pytest.approx(0.99)


def test_stream_reads_past_the_page_cache() -> None:
    """`stream` decides which weights stay in memory, so it reads the others past the page cache."""
    assert best_reader(POLICIES["stream"](TWICE, Budget(speeds=SPEEDS)), TWICE, None) == "direct"


def test_file_system_decides_whether_direct_is_possible(tmp_path: Path) -> None:
    """A file on a disk can be read past the page cache, and one of the kernel's own cannot."""
    file = tmp_path / "weights"
    file.write_bytes(bytes(8192))
    assert accept_direct([])
    if accept_direct([file]):
        assert not accept_direct([file, Path("/proc/self/status")])
