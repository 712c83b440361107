"""Virtual memory: what the kernel keeps, swaps out and drops under a limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.virtual_machine import OutOfMemory
from pytest_edgeload.planning.virtual_memory import KEPT_CACHE_BYTES, PIECE_BYTES, Traffic, VirtualMemory

MIB = 1 << 20


def traffic_of(memory: VirtualMemory) -> tuple[int, int, int]:
    """Return the traffic in MiB: out to swap, in from swap, in from files."""
    out, in_, file = (size_bytes // MIB for size_bytes in memory.traffic)
    return out, in_, file


def test_memory_within_the_limit_moves_nothing() -> None:
    """Weights that fit are written, read and freed without traffic."""
    memory = VirtualMemory(100 * MIB, None, 10 * MIB)
    memory.write("a", 50 * MIB)
    memory.read("a", 50 * MIB)
    memory.free("a", 50 * MIB)
    memory.write("b", 90 * MIB)
    assert memory.traffic == Traffic(0, 0, 0)
    assert memory.peak_private_bytes == 100 * MIB


def test_the_least_recently_used_memory_is_swapped_out() -> None:
    """Of a and b, the one that was read last stays."""
    memory = VirtualMemory(100 * MIB, None)
    memory.write("a", 40 * MIB)
    memory.write("b", 40 * MIB)
    memory.read("a", 40 * MIB)
    memory.write("c", 40 * MIB)
    memory.read("a", 40 * MIB)
    assert traffic_of(memory) == (20, 0, 0)
    memory.read("b", 40 * MIB)
    assert traffic_of(memory)[1] == 20 + 20  # the rest of b goes out for the beginning of b


def test_memory_in_use_is_not_swapped_out_for_its_other_part() -> None:
    """Of a, the first 20 MiB are in swap; if the rest is kept before a is read, b goes out instead of it."""
    memory = VirtualMemory(100 * MIB, None)
    for key, mib in (("a", 60), ("b", 60)):
        memory.write(key, mib * MIB)
    memory.keep("a", 60 * MIB)
    before = memory.traffic
    memory.read("a", 60 * MIB)
    assert memory.traffic.since(before) == Traffic(20 * MIB, 20 * MIB, 0)


def test_a_circle_larger_than_memory_is_read_again_completely() -> None:
    """The worst case of this order: each round reads all, but writes nothing that has not changed."""
    memory = VirtualMemory(40 * MIB, None)
    memory.write("a", 60 * MIB)
    written = memory.traffic.out_bytes
    memory.read("a", 60 * MIB)
    first = memory.traffic
    memory.read("a", 60 * MIB)
    again = memory.traffic.since(first)
    assert (written, again.in_bytes, again.out_bytes) == (20 * MIB, 60 * MIB, 0)


def test_page_cache_goes_before_private_memory() -> None:
    """The cache is dropped down to what the kernel keeps, then memory is swapped out."""
    memory = VirtualMemory(100 * MIB, None)
    memory.fetch("file", 60 * MIB)
    memory.write("a", 80 * MIB)
    assert traffic_of(memory) == (0, 0, 60)
    memory.write("b", 10 * MIB)
    assert traffic_of(memory) == (10 - (20 * MIB - KEPT_CACHE_BYTES) // MIB, 0, 60)
    memory.fetch("file", 60 * MIB)
    assert memory.traffic.file_bytes == 120 * MIB


def test_dropped_bytes_of_a_file_are_read_again() -> None:
    """Bytes in the cache are found, and others are not."""
    memory = VirtualMemory(None, None)
    memory.fetch("file", 5 * MIB)
    memory.fetch("file", 5 * MIB)
    memory.drop("file", 5 * MIB)
    memory.fetch("file", 5 * MIB)
    assert traffic_of(memory) == (0, 0, 10)


@pytest.mark.parametrize(("swap_bytes", "reason"), [(0, "there is no swap"), (10 * MIB, "the swap of 10M is full")])
def test_without_room_in_swap_a_process_is_killed(swap_bytes: int, reason: str) -> None:
    """The message says which of the two is missing."""
    memory = VirtualMemory(50 * MIB, swap_bytes)
    with pytest.raises(OutOfMemory, match=reason):
        memory.write("a", 80 * MIB)


def test_activations_are_not_swapped_out() -> None:
    """They are in use, so a limit that does not hold them is an error even with swap."""
    memory = VirtualMemory(50 * MIB, None)
    memory.write("a", 40 * MIB)
    memory.hold_activations(30 * MIB)
    assert memory.traffic.out_bytes == 20 * MIB
    with pytest.raises(OutOfMemory, match=r"50M does not hold"):
        memory.hold_activations(60 * MIB)


@given(st.lists(st.tuples(st.sampled_from(["write", "free", "fetch"]), st.integers(0, 9), st.integers(1, 30))))
def test_memory_never_exceeds_its_limit(actions: list[tuple[str, int, int]]) -> None:
    """Whatever is written, fetched and freed, the limit holds, and what was freed leaves nothing."""
    memory = VirtualMemory(64 * MIB, None, 8 * MIB)
    sizes: dict[tuple[str, int], int] = {}
    for action, key, mib in actions:
        if action == "free":
            memory.free(key, sizes.pop(("write", key), 0))
        else:
            getattr(memory, action)(
                (key, action) if action == "fetch" else key, sizes.setdefault((action, key), mib * MIB)
            )
        assert memory.peak_private_bytes <= memory.peak_held_bytes <= 64 * MIB
    for (action, key), size_bytes in sizes.items():
        if action == "write":
            memory.free(key, size_bytes)
    memory.write("all", 56 * MIB - KEPT_CACHE_BYTES - PIECE_BYTES)
    before = memory.traffic.out_bytes
    memory.read("all", 56 * MIB - KEPT_CACHE_BYTES - PIECE_BYTES)
    assert memory.traffic.out_bytes == before


def test_cache_goes_before_memory_runs_out() -> None:
    """If the swap that is left holds no piece of memory, the rest of the page cache is dropped."""
    memory = VirtualMemory(32 * MIB, MIB)
    memory.write("weights", 20 * MIB)
    memory.fetch("file", 12 * MIB)
    memory.write("more", 10 * MIB)
    assert memory.traffic.out_bytes == 0
    with pytest.raises(OutOfMemory):
        memory.write("too much", 4 * MIB)
