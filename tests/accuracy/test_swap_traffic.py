"""Swap: a measurement agrees with /proc/vmstat, which another process reads before and after."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.swap import Swap
from tests.accuracy.programs import MIB, Fresh, measure, touch_twice

HELD, MAY_HOLD = 64, 32
PAGE = 4096


def vmstat() -> dict[str, int]:
    """Return the counters of the whole machine, in pages, as another program reads them."""
    output = subprocess.run(["cat", "/proc/vmstat"], check=True, capture_output=True, text=True).stdout
    return {name: int(count) for name, count in map(str.split, output.splitlines())}


def is_guest() -> bool:
    """Return whether this is User-mode Linux, where a test runs alone; elsewhere other processes may swap meanwhile."""
    return "User Mode Linux" in Path("/proc/cpuinfo").read_text()


def test_swap_traffic_agrees_with_vmstat(cap: Cap, fresh: Fresh, swap: Swap) -> None:
    """Swap in both directions and refaults do not exceed the machine's counters; alone in a guest, they equal them.

    Memory beyond the limit must be written at least once and read once.
    """
    assert swap.size_bytes > HELD * MIB
    limits, beyond = Limits(Constraints(MAY_HOLD * MIB), may_swap=True), (HELD - MAY_HOLD) * MIB
    before = vmstat()
    run = measure(touch_twice(HELD), cap, fresh(), limits)
    grown = {name: count - before[name] for name, count in vmstat().items()}
    assert run.swap_in_bytes is not None
    assert run.swap_out_bytes is not None
    assert run.refaults is not None
    theirs = (grown["pswpin"] * PAGE, grown["pswpout"] * PAGE)
    refaults = grown["workingset_refault_anon"] + grown["workingset_refault_file"]
    assert beyond <= run.swap_out_bytes <= theirs[1]
    assert beyond <= run.swap_in_bytes <= theirs[0]
    assert run.refaults <= 1.01 * refaults  # each processor adds to the total with a delay
    if is_guest():
        assert run.swap_in_bytes + run.swap_out_bytes >= 0.98 * sum(theirs)
        assert run.refaults >= 0.98 * refaults
