"""The reader that `auto` chooses for a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.measuring.reader_choice import accept_direct, best_reader, reloaded_bytes
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import SPEEDS, network

A, B = (network((20, 1, 1), (20, 1, 1), name=name) for name in "ab")
ONCE = Workload("once", (Request(A), Request(B)))
TWICE = Workload("twice", (Request(A), Request(B), Request(A)))
"""Workloads of networks with 40 bytes in two layers."""


@pytest.mark.parametrize(
    ("policy", "asked", "memory_bytes", "again_bytes", "reader"),
    [
        ("bulk", ONCE, None, 0, "direct"),
        ("linear", ONCE, 100, 0, "direct"),
        ("linear", TWICE, None, 40, "read"),  # the page cache has the first network when it is asked again
        ("linear", TWICE, 200, 40, "read"),
        ("linear", TWICE, 60, 40, "direct"),  # beside a peak of 22 bytes the page cache has no room for 40
        ("lru", TWICE, None, 0, "direct"),  # it keeps the network itself
        ("lru", TWICE, 60, 40, "direct"),
    ],
)
def test_page_cache_is_used_if_it_has_room_for_weights_that_are_loaded_again(
    policy: str, asked: Workload, memory_bytes: int | None, again_bytes: int, reader: str
) -> None:
    """A plan that loads weights again reads through the page cache if that can hold them; every other one past it."""
    plan = POLICIES[policy](asked, Budget(memory_bytes, speeds=SPEEDS))
    assert reloaded_bytes(plan, asked) == again_bytes
    assert best_reader(plan, asked, memory_bytes) == reader


def test_stream_reads_past_the_page_cache() -> None:
    """`stream` decides which weights stay in memory, so it reads the others past the page cache."""
    looped = Workload("loop", (Request(A, steps=8),))
    assert best_reader(POLICIES["stream"](TWICE, Budget(speeds=SPEEDS)), TWICE, None) == "direct"
    linear = POLICIES["linear"](looped, Budget(speeds=SPEEDS))
    assert reloaded_bytes(linear, looped) == 40
    assert best_reader(linear, looped, None) == "read"


def test_file_system_decides_whether_direct_is_possible(tmp_path: Path) -> None:
    """A file on a disk can be read past the page cache, and one of the kernel's own cannot."""
    file = tmp_path / "weights"
    file.write_bytes(bytes(8192))
    assert accept_direct([])
    if accept_direct([file]):
        assert not accept_direct([file, Path("/proc/self/status")])
