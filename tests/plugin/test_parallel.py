"""Runs overlap if they fit side by side; otherwise they take turns, and the session says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.finding import identity
from pytest_edgeload.sandbox.constraints import cores_of
from tests.plugin.sessions import Begin, write

MEET = """
import pathlib, sys

import pytest

HERE = pathlib.Path(__file__).parent
METRICS = {"met": r"/met=(?P<value>\\d)/", "core": r"/cores=(?P<value>\\d+) /"}
SCRIPT = '''
import os, pathlib, sys, time
here, me, other = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(here / me).touch()
deadline = time.monotonic() + 60
while not (here / other).exists() and time.monotonic() < deadline:
    time.sleep(0.01)
print(f"cores={','.join(map(str, sorted(os.sched_getaffinity(0))))} met={int((here / other).exists())}")
(here / f"{me} was there").touch()
while not (here / f"{other} was there").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
'''

@pytest.mark.parametrize(("me", "other"), [("left", "right"), ("right", "left")])
def test_meet(edge, me, other, edge_mem):
    command = [sys.executable, "-c", SCRIPT, HERE / "tmp", me, other]
    ran = edge.command(command, name=me, memory=edge_mem, metrics=METRICS)
    assert ran.outcome == "ok", ran.detail
"""
"""Two programs that wait for each other."""

IS_ALONE = len(os.sched_getaffinity(0)) < 2
needs_cores = pytest.mark.skipif(IS_ALONE, reason="no two runs have cores of their own here")


@needs_cores
@pytest.mark.parametrize("when", ["yes", "comparable"])
def test_runs_that_fit_overlap_on_cores_of_their_own(begin: Begin, tmp_path: Path, when: str) -> None:
    """Two processes run programs at the same time, each on one core of its own, with totals of its own only.

    Their cases are marked, unless they should be comparable with those of runs that take turns.
    """
    project = write(tmp_path, test_tiny=MEET, conftest="")
    (project / "tmp").mkdir(mode=0o777)
    (project / "tmp").chmod(0o777)
    options = ("-n2", f"--edge-parallel={when}", "--edge-mem=64M", "--edge-threads=1", "--edge-json=out.json")
    ended = begin(project, *options, TMPDIR=str(tmp_path / "tmp")).end()
    assert ended.status == 0, ended.said
    left, right = ended.measurements
    assert [m.own["met"].value for m in (left, right)] == [1, 1]
    cores = {m.own["core"].value for m in (left, right)}
    assert cores == set(cores_of(2)) == {core for m in (left, right) for core in m.sharing.cores}
    assert left.sharing.neighbours or right.sharing.neighbours
    assert all(not m.machine_wide and m.energy_j is None for m in (left, right))
    assert {record.case.parallel for record in ended.records} == {when == "yes"}
    ended.lines.fnmatch_lines(["edgeload: *runs may overlap*", "* of 2 runs overlapped with others, *"])
    assert ended.running.leavings == []


@needs_cores
def test_run_without_a_limit_takes_turns(begin: Begin, tmp_path: Path) -> None:
    """A run without a limit has the machine for itself, and the session says so; its case is that of other sessions."""
    test = "def test_free(edge):\n    edge.command(['/bin/true'], name='free', memory=None)\n"
    options = ("-n2", "--edge-parallel", "--edge-mem=64M", "--edge-threads=1", "--edge-json=out.json")
    ended = begin(write(tmp_path, test_tiny=test, conftest=""), *options).end()
    assert ended.status == 0, ended.said
    [record] = ended.records
    assert not record.case.parallel
    ended.lines.fnmatch_lines(
        ["0 of 1 runs overlapped *", "1 run waited for others: a run has no memory limit", "one process measured, *"]
    )


CORES = f"two runs of {os.cpu_count()} cores need more than the * of the machine"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((f"--edge-threads={os.cpu_count()}",), f"no runs could overlap: {CORES}; try --edge-threads=1"),
        (("--edge-cap=none",), "no cap keeps runs within their memory here; leave it out, or change --edge-cap"),
        (("--edge-repeat-throttled=2",), "runs that overlap are not repeated, *; leave it out, or *throttled"),
        (("--edge-hosts=hosts.toml",), "each host has one process, so no runs could overlap; leave it out, or *"),
    ],
)
def test_session_in_which_nothing_could_overlap_is_refused(
    bare: pytest.Pytester, options: tuple[str, ...], sentence: str
) -> None:
    """If no two runs could overlap, the session ends before it collects, with the reason and the way out."""
    bare.makefile(".toml", hosts='[one]\nssh = "one"\n')
    bare.makepyfile("def test_it(edge): pass")
    result = bare.runpytest("--edge-parallel", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --edge-parallel: {sentence}"])


@needs_cores
@pytest.mark.parametrize(
    ("limit", "reason"), [("none", "a run has no memory limit"), ("100T", "two runs of this limit do not fit *")]
)
def test_limits_that_tests_may_change_are_a_line_of_the_header(bare: pytest.Pytester, limit: str, reason: str) -> None:
    """If only the session's memory limit keeps runs from overlapping, the header says so: tests may choose another."""
    bare.makepyfile("def test_it(): pass")
    result = bare.runpytest("--edge-parallel", "--edge-threads=1", f"--edge-mem={limit}")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"edgeload: runs with the limits of the session do not overlap: {reason}"])


def test_parallel_case_is_another_case() -> None:
    """A run that may overlap is in another group than one that takes turns, and has another baseline."""
    alone = Case(
        test="t", workload="w", policy="p", reader="read", cap="cgroup2", swap="off", constraints=Constraints(1)
    )
    beside = Case(**{name: getattr(alone, name) for name in alone.__struct_fields__} | {"parallel": True})
    assert beside.group != alone.group
    assert identity(beside) != identity(alone)
    assert beside.title == "p, w at no limit, in parallel"
