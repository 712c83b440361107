"""Texts about the smallest limits of a case, and about its curve."""

from __future__ import annotations

import json

import msgspec

from pytest_edgeload.report.minmem import FORMATS
from pytest_edgeload.results.case import PROGRAM
from pytest_edgeload.results.curve import points
from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.minmem import KEEPS_IN_MEMORY, WORKS, Goal, Margin, Smallest, Trial
from tests.cases import CASE

M = 1 << 20
FIGURES = {"makespan": Metric("s", "lower", "")}
GOALS = {
    WORKS: Goal(may_swap=False),
    KEEPS_IN_MEMORY: Goal(may_swap=True, keeps_in_memory=True),
    "makespan:20%": Goal(may_swap=True, margin=Margin("makespan", 1.0, 1.2, is_higher_better=False)),
}


def _trial(megabytes: int | None, outcome: str = "ok", swapped: int | None = None, **fields: object) -> Trial:
    limit = None if megabytes is None else megabytes * M
    return Trial(limit, swapped is not None, outcome, swapped, **fields)  # type: ignore[arg-type]


def _timed(megabytes: int | None, seconds: float, swapped: int) -> Trial:
    return _trial(megabytes, swapped=swapped, values={"makespan": seconds})


PLENTY = (
    _trial(None, swapped=0, values={"makespan": 1.0}, charged_bytes=300 * M, anon_bytes=240 * M),
    _trial(None, swapped=0, values={"makespan": 0.9}, charged_bytes=301 * M, anon_bytes=239 * M),
    _trial(None, swapped=0, values={"makespan": 1.1}),
)
TRIALS = (
    *PLENTY,
    _trial(240),
    _trial(232, "oom"),
    _trial(236),
    _trial(236),
    _timed(240, 1.5, 3 * M),
    _timed(244, 1.0, M - 1),
    _timed(244, 1.0, 0),
)
FOUND = Smallest(
    msgspec.structs.replace(CASE, limit=None), 4 * M, GOALS,
    {WORKS: 236 * M, KEEPS_IN_MEMORY: 244 * M, "makespan:20%": 244 * M},
    TRIALS, FIGURES, idle_bytes=200 * M,
)  # fmt: skip


def _lines(**changed: object) -> list[str]:
    return FORMATS["text"](msgspec.structs.replace(FOUND, **changed)).splitlines()


def test_each_limit_is_shown_with_its_evidence() -> None:
    """Each limit is shown in bytes and above the idle worker, with its runs and the nearest failure below it."""
    from_244 = "from 244M (255852544 bytes, base+44M): 2 of 2 runs; at 240M, swap on: ok, makespan 1.5s, 3M to swap"
    assert _lines() == [
        "mix under bulk, reader read, 2 threads, cap cgroup2, swap 8G",
        "with plenty         makespan 1s (0.9s to 1.1s), 301M charged, 240M anonymous",
        "works without swap  from 236M (247463936 bytes, base+36M): 2 of 2 runs; at 232M, swap off: oom",
        f"does not swap       {from_244}",
        f"makespan:20%        {from_244}",
        "an idle worker needs 200M; limits are multiples of 4M; less than 1M written to swap does not count",
    ]


def test_program_has_no_idle_worker() -> None:
    """The lines on a program show its name, and no memory of an idle worker."""
    case = msgspec.structs.replace(CASE, workload=PROGRAM, policy="llama-cli", reader="none")
    lines = _lines(case=case, idle_bytes=None)
    assert lines[0] == "llama-cli, 2 threads, cap cgroup2, swap 8G"
    assert lines[2] == "works without swap  from 236M (247463936 bytes): 2 of 2 runs; at 232M, swap off: oom"
    assert lines[-1] == "limits are multiples of 4M; less than 1M written to swap does not count"


def test_contradicting_runs_are_named() -> None:
    """Limits with runs that contradict the result are named: a failure above it, a success below it."""
    odd = (*TRIALS, _trial(300, "crashed"), _trial(232))
    assert _lines(trials=odd)[2].endswith("at 232M, swap off: oom; contradicted at 232M (1 of 2), 300M (0 of 1)")


def test_reason_of_a_failure_is_shown_unless_it_is_oom() -> None:
    """The detail of a failure is shown if the run did not simply lack memory."""
    crashed = _trial(232, "crashed", detail="signal 11")
    assert _lines(trials=(*PLENTY, _trial(236), crashed))[2].endswith("; at 232M, swap off: crashed (signal 11)")


def test_limits_that_do_not_exist_are_explained() -> None:
    """A limit that does not exist, or was not tested, is explained."""
    case = msgspec.structs.replace(CASE, swap="none")
    lines = _lines(case=case, goals={WORKS: GOALS[WORKS]}, found={WORKS: None})
    assert lines[2] == "works without swap  under no limit up to all memory"
    assert lines[3] == "does not swap       not tested, because swap is none; a swap file, which needs root, helps"


def test_lowest_possible_limit_has_no_failure_below() -> None:
    """If the lowest possible limit works, the line says that no smaller limit failed."""
    assert _lines(trials=(*PLENTY, _trial(236), _trial(236)))[2].endswith(": 2 of 2 runs; no smaller limit failed")


def test_interrupted_search_shows_the_limits_that_are_known() -> None:
    """A goal that was not searched to the end has the smallest limit known to work, and the largest known to fail."""
    lines = _lines(found={}, trials=TRIALS[:5])
    assert lines[2] == "works without swap  not searched to the end: works at 240M, fails at 232M"
    assert lines[3] == "does not swap       not searched to the end: no run yet"
    assert _lines(found={}, trials=TRIALS[:4])[2].endswith(": works at 240M")


def test_curve_has_a_bar_for_each_limit_within_80_columns() -> None:
    """The curve starts with plenty; a limit at which a run failed has its outcome instead of a bar."""
    trials = (*TRIALS, _timed(64, 4.0, 100 * M), _trial(32, "timeout", swapped=0))
    curve = points(trials, "makespan", 301 * M, may_swap=True)
    text = "\n".join(_lines(by="makespan", curve=curve, trials=trials)[7:])
    assert text == (
        "makespan by limit, swap 8G\n"
        "\n"
        "   limit    makespan    x plenty    to swap\n"
        "--------  ----------  ----------  ---------  -------------------------------\n"
        "no limit          1s        1.00          0  ████████\n"
        "    244M          1s        1.00       512K  ████████\n"
        "    240M        1.5s        1.50         3M  ███████████▌\n"
        "     64M          4s        4.00       100M  ███████████████████████████████\n"
        "     32M     timeout           -          -"
    )
    assert max(map(len, text.splitlines())) <= 80


def test_json_has_the_limits_and_every_run() -> None:
    """JSON contains the limits and every run."""
    read = json.loads(FORMATS["json"](FOUND))
    assert (read["found"]["works"], read["found"]["keeps_in_memory"], len(read["trials"])) == (236 * M, 244 * M, 10)
    assert read["found"]["makespan:20%"] == 244 * M
    assert msgspec.convert(read, Smallest) == FOUND
