"""Texts about the smallest limits of a case."""

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


def test_each_limit_is_shown_with_its_evidence() -> None:
    """Each limit is shown in bytes and above the idle worker, with its runs and the nearest failure below it."""
    assert _lines() == [
        "mix under bulk, reader read, 2 threads, cap cgroup2",
        "works without swap  from 236M (247463936 bytes, base+36M): 2 of 2 runs; at 232M, swap off: oom",
        "does not swap       from 244M (255852544 bytes, base+44M): 2 of 2 runs; at 240M, swap on: ok, 3M to swap",
        "an idle worker needs 200M; limits are multiples of 4M; less than 1M written to swap does not count",
    ]


def test_contradicting_runs_are_named() -> None:
    """Limits with runs that contradict the result are named: a failure above it, a success below it."""
    odd = (*TRIALS, Trial(300 * M, may_swap=False, outcome="crashed"), Trial(232 * M, may_swap=False, outcome="ok"))
    assert _lines(trials=odd)[1].endswith(
        "at 232M, swap off: oom; contradicted by successes of 1 of 2 at 232M, 0 of 1 at 300M"
    )


def test_reason_of_a_failure_is_shown_unless_it_is_oom() -> None:
    """The detail of a failure is shown if the run did not simply lack memory."""
    crashed = Trial(232 * M, may_swap=False, outcome="crashed", detail="signal 11")
    assert _lines(trials=(*TRIALS[2:4], crashed))[1].endswith("; at 232M, swap off: crashed (signal 11)")


def test_limits_that_do_not_exist_are_explained() -> None:
    """A limit that does not exist, or was not tested, is explained."""
    lines = _lines(works_bytes=None, keeps_in_memory_bytes=None, swap="none")
    assert lines[1] == "works without swap  under no limit up to all memory"
    assert lines[2] == "does not swap       not tested, because swap is none; a swap file, which needs root, helps"


def test_lowest_possible_limit_has_no_failure_below() -> None:
    """If the lowest possible limit works, the line says that no smaller limit failed."""
    assert _lines(trials=TRIALS[2:4])[1].endswith(": 2 of 2 runs; no smaller limit failed")


def test_json_has_the_limits_and_every_run() -> None:
    """JSON contains the limits and every run."""
    read = json.loads(FORMATS["json"](FOUND))
    assert (read["works_bytes"], read["keeps_in_memory_bytes"], len(read["trials"])) == (236 * M, 244 * M, 7)
    assert msgspec.convert(read, Smallest) == FOUND
