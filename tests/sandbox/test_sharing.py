"""Runs fit side by side, or there is a reason why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox import sharing
from pytest_edgeload.sandbox.sharing import MachinePart, SharedMachine, room_of

MIB = 1 << 20
ROOM = SharedMachine(1024 * MIB, 512 * MIB, (0, 1, 2, 3))
PARTS = st.builds(
    MachinePart,
    memory_bytes=st.integers(1, 512).map(lambda size: size * MIB),
    swap_bytes=st.integers(0, 300).map(lambda size: size * MIB),
    cores=st.integers(1, 2),
    files=st.frozensets(st.sampled_from("abc"), max_size=2),
    is_throttled=st.booleans(),
    is_direct=st.booleans(),
)


@given(st.lists(PARTS, max_size=8), st.integers(0, 1024))
def test_runs_side_by_side_have_everything_for_themselves(asking: list[MachinePart], available: int) -> None:
    """Whatever asks, those let in fit in memory and swap together, and share no core, and files only past the cache."""
    taken: dict[int, MachinePart] = {}
    inside = []
    for part in asking:
        cores = ROOM.cores_for(part, taken, available * MIB)
        if isinstance(cores, str):
            assert taken, "a run that is alone never waits"
            continue
        assert len(cores) == part.cores
        assert not set(cores) & taken.keys()
        taken |= dict(zip(cores, [part, MachinePart(0)], strict=False))
        inside.append(part)
    assert sum(part.memory_bytes for part in inside) <= ROOM.memory_bytes
    assert sum(part.swap_bytes for part in inside) <= ROOM.swap_bytes
    assert len({part.is_throttled for part in inside}) <= 1
    for part in inside:
        others = [other for other in inside if other is not part and not (part.is_direct and other.is_direct)]
        assert not any(part.files & other.files for other in others)


SMALL = MachinePart(100 * MIB)


@pytest.mark.parametrize(
    ("part", "taken", "available", "reason"),
    [
        (
            MachinePart(MIB, files=frozenset("a")),
            {0: MachinePart(MIB, files=frozenset("ab"))},
            1024,
            sharing.SAME_FILES,
        ),
        (
            MachinePart(MIB, files=frozenset("a"), is_direct=True),  # before it begins, it drops the other's pages
            {0: MachinePart(MIB, files=frozenset("a"))},
            1024,
            sharing.SAME_FILES,
        ),
        (MachinePart(MIB, is_throttled=True), {0: SMALL}, 1024, sharing.THROTTLE),
        (MachinePart(500 * MIB), {0: MachinePart(525 * MIB)}, 1024, sharing.MEMORY),
        (MachinePart(500 * MIB), {0: SMALL}, 499, sharing.MEMORY),  # another user has it
        (MachinePart(MIB, 300 * MIB), {0: MachinePart(MIB, 213 * MIB)}, 1024, sharing.SWAP),
        (SMALL, dict.fromkeys(range(4), MachinePart(0)), 1024, sharing.NO_CORE),
        (SMALL, {7: sharing.UNKNOWN}, 1024, sharing.MEMORY),
    ],
)
def test_run_waits_for_a_reason(part: MachinePart, taken: dict[int, MachinePart], available: int, reason: str) -> None:
    """A run that does not fit next to the others waits, and the reason names what is missing."""
    assert ROOM.cores_for(part, taken, available * MIB) == reason


def test_part_follows_from_the_constraints() -> None:
    """A run has as many cores as it may use or has threads for, and the share of its cores of the swap, or its own."""
    free = Constraints(256 * MIB, threads=1)
    assert ROOM.part(free) == MachinePart(256 * MIB, 128 * MIB)
    assert ROOM.part(free | Constraints(threads=2)) == MachinePart(256 * MIB, 256 * MIB, 2)
    assert ROOM.part(free | Constraints(threads=4, cores=1)) == MachinePart(256 * MIB, 128 * MIB)
    assert ROOM.part(free | Constraints(swap_bytes=0, read_bps=1)) == MachinePart(256 * MIB, is_throttled=True)
    full = SharedMachine(0, 0, (0, 1))
    assert full.part(Constraints(512 * MIB, threads=1) | Constraints(0)) == MachinePart(0)  # it has cores for two
    compressed = SharedMachine(1024 * MIB, 512 * MIB, (0, 1, 2, 3), swap_is_memory=True)
    assert compressed.part(free) == MachinePart(384 * MIB, 128 * MIB)


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        (Constraints(threads=1), "a run has no memory limit"),
        (Constraints(MIB, threads=3), "two runs of 3 cores need more than the 4 of the machine"),
        (Constraints(513 * MIB), "two runs of this limit do not fit in the available memory of the machine"),
    ],
)
def test_run_that_can_never_share_has_no_part(constraints: Constraints, reason: str) -> None:
    """A run that could never have another next to it has a reason instead of a part."""
    assert ROOM.part(constraints) == reason


@pytest.mark.parametrize(("memory", "left"), [(1024, 768), (16384, 14336), (128, 0)])
def test_reserve_is_for_everything_else(memory: int, left: int) -> None:
    """An eighth of the memory, and at least 256 MiB, is left to everything else."""
    assert room_of(memory * MIB, 0, (0,), swap_is_memory=False, by_cpuset=True).memory_bytes == left * MIB
