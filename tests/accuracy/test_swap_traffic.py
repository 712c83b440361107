"""Swap: what a measurement says against what another process reads of /proc/vmstat before and after it."""

from __future__ import annotations

import subprocess

from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.limits import Limits
from pytest_edgeload.sandbox.swap import Swap
from tests.accuracy.programs import MIB, Fresh, measure, touch_twice

HELD, MAY_HOLD = 64, 32
PAGE = 4096


def vmstat() -> dict[str, int]:
    """Return what another program reads of the whole machine, in pages."""
    told = subprocess.run(["cat", "/proc/vmstat"], check=True, capture_output=True, text=True).stdout
    return {name: int(count) for name, count in map(str.split, told.splitlines())}


def test_swap_traffic(cap: Cap, fresh: Fresh, swap: Swap) -> None:
    """Where nothing else swaps, both ways agree with the machine's own count, and refaults do; else ours are less.

    What the program holds beyond its limit has to be written once at least, and read once.
    """
    assert swap.size_bytes > HELD * MIB
    limits, beyond = Limits(MAY_HOLD * MIB, swap=True), (HELD - MAY_HOLD) * MIB
    differences = []
    for _ in range(3):  # others on this machine may swap meanwhile
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
        assert run.refaults <= refaults
        differences.append(theirs[0] + theirs[1] - run.swap_in_bytes - run.swap_out_bytes)
        if differences[-1] < 0.02 * sum(theirs) and run.refaults > 0.98 * refaults:
            return
    raise AssertionError(f"bytes that only the machine has counted: {differences}")
