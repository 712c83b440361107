"""The smallest limits of a case, as they are shown."""

from __future__ import annotations

import json

import msgspec

from pytest_edgeload.report.minmem import FORMATS
from pytest_edgeload.results.minmem import Smallest, Trial

M = 1 << 20
TRIALS = (
    Trial(240 * M, may_swap=False, outcome="ok"),
    Trial(232 * M, may_swap=False, outcome="oom"),
    Trial(236 * M, may_swap=False, outcome="ok"),
    Trial(236 * M, may_swap=False, outcome="ok"),
    Trial(240 * M, may_swap=True, outcome="ok", swap_out_bytes=3 * M),
    Trial(244 * M, may_swap=True, outcome="ok", swap_out_bytes=M - 1),
    Trial(244 * M, may_swap=True, outcome="ok", swap_out_bytes=0),
)
FOUND = Smallest("mix", "bulk", "read", 2, "cgroup2", "8G", 200 * M, 4 * M, 236 * M, 244 * M, TRIALS)


def _lines(**changed: object) -> list[str]:
    return FORMATS["text"](msgspec.structs.replace(FOUND, **changed)).splitlines()


def test_text() -> None:
    """Each limit is told in bytes and above the idle worker, with the runs it stands on and what was seen below it."""
    assert _lines() == [
        "mix under bulk, reader read, 2 threads, cap cgroup2",
        "works without swap  from 236M (247463936 bytes, base+36M): 2 of 2 runs; at 232M, swap off: oom",
        "does not swap       from 244M (255852544 bytes, base+44M): 2 of 2 runs; at 240M, swap on: ok, 3M to swap",
        "an idle worker needs 200M; limits are multiples of 4M; less than 1M written to swap is none",
    ]


def test_odd_runs_are_told() -> None:
    """Limits at which runs speak against the one found are named: a failure above it, a success below."""
    odd = (*TRIALS, Trial(300 * M, may_swap=False, outcome="crashed"), Trial(232 * M, may_swap=False, outcome="ok"))
    assert _lines(trials=odd)[1].endswith("at 232M, swap off: oom; but so it did at 232M in 1 of 2, 300M in 0 of 1")


def test_the_reason_of_a_failure() -> None:
    """What a run ended by is told where that is not want of memory."""
    crashed = Trial(232 * M, may_swap=False, outcome="crashed", detail="signal 11")
    assert _lines(trials=(*TRIALS[2:4], crashed))[1].endswith("; at 232M, swap off: crashed (signal 11)")


def test_nothing_found() -> None:
    """What was not found, or not looked for, is said."""
    lines = _lines(works_bytes=None, keeps_in_memory_bytes=None, swap="none")
    assert lines[1] == "works without swap  under no limit up to all memory"
    assert lines[2] == "does not swap       not looked for, as swap is none; try --swap=1G, which takes root"


def test_nothing_failed() -> None:
    """Where the least limit there can be does, nothing is said to have failed."""
    assert _lines(trials=TRIALS[2:4])[1].endswith(": 2 of 2 runs; nothing less was seen to fail")


def test_json() -> None:
    """JSON has the limits and every run."""
    read = json.loads(FORMATS["json"](FOUND))
    assert (read["works_bytes"], read["keeps_in_memory_bytes"], len(read["trials"])) == (236 * M, 244 * M, 7)
    assert msgspec.convert(read, Smallest) == FOUND
