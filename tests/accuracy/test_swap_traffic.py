"""Swap: what a measurement says against what another process reads of /proc/vmstat before and after it."""

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
    """Return what another program reads of the whole machine, in pages."""
    told = subprocess.run(["cat", "/proc/vmstat"], check=True, capture_output=True, text=True).stdout
    return {name: int(count) for name, count in map(str.split, told.splitlines())}


def is_guest() -> bool:
    """Tell whether this is User-mode Linux, where a test is alone; anywhere else others may swap meanwhile."""
    return "User Mode Linux" in Path("/proc/cpuinfo").read_text()


def test_swap_traffic(cap: Cap, fresh: Fresh, swap: Swap) -> None:
    """Both ways, and refaults, are no more than the machine's own count; in a guest, where nothing else swaps, as much.

    What the program holds beyond its limit has to be written once at least, and read once.
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
    assert run.refaults <= 1.01 * refaults  # which each processor adds to the whole in its own time
    if is_guest():
        assert run.swap_in_bytes + run.swap_out_bytes >= 0.98 * sum(theirs)
        assert run.refaults >= 0.98 * refaults
