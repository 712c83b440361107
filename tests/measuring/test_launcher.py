"""The launcher tests a read throttle before anything is measured, and repeats runs that overlapped."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.job import Job
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.sharing import Overlap
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits, cores_of
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.owner import PREFIX
from pytest_edgeload.sandbox.sharing import SharedMachine
from tests.measuring.parts import BPS


def test_throttle_that_the_kernel_refuses_is_an_error_with_the_setting(
    bench: Bench, cap: Cap, storage: Path, throttle: Limits, fresh: Callable[[], str]
) -> None:
    """A read throttle is tried on a group; an error of the kernel names the setting and the way out."""
    bench.launcher.check_reads(BPS, storage)
    name = fresh()
    session, _, serial = name.removeprefix(PREFIX).rpartition("-")
    launcher = replace(bench.launcher, session=session, _serial=itertools.count(int(serial)))
    group = cap.open(f"{PREFIX}{session}-{os.getpid()}-{serial}", Limits())
    try:
        with pytest.raises(Unsupported, match=r"^read-bw=90M: cgroup .* File exists; leave it out$"):
            launcher.check_reads(BPS, storage)
    finally:
        group.close()


def test_throttle_error_keeps_the_hint_of_the_cap(
    bench: Bench, cap: Cap, storage: Path, throttle: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the cap knows a remedy, the error of a read throttle has it as well."""

    def refuse(_name: str, _limits: Limits) -> None:
        raise Unsupported("/sys/fs/cgroup/a", "its cgroup.procs is locked", "have root run: chown 1000 cgroup.procs")

    monkeypatch.setattr(cap, "open", refuse)
    words = "read-bw=90M: /sys/fs/cgroup/a: its cgroup.procs is locked; have root run: chown 1000 cgroup.procs"
    with pytest.raises(Unsupported, match=f"^{words}, or leave it out$"):
        replace(bench.launcher, cap=cap).check_reads(BPS, storage)


NEIGHBOUR = """
import sys
from pytest_edgeload.sandbox.lock import shared_turn
from pytest_edgeload.sandbox.sharing import MachinePart, SharedMachine
with shared_turn(MachinePart(1), SharedMachine(1 << 40, 0, tuple(map(int, sys.argv[1:])))):
    print("here", flush=True)
    sys.stdin.read()
"""


CORES = cores_of(2)
needs_cores = pytest.mark.skipif(len(CORES) < 2, reason="no two runs have cores of their own here")


@pytest.fixture
def beside(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    """Yield a launcher whose runs overlap; there is a neighbour until one of them waits for it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", NEIGHBOUR, *map(str, CORES)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as neighbour:
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline() == "here\n"
        overlap = Overlap(SharedMachine(1 << 40, 0, CORES), tmp_path, tmp_path / "runs")
        yield replace(bench.launcher, overlap=overlap, say=lambda _line: neighbour.kill(), quiet_s=0.1)
        neighbour.kill()


HELD = Constraints(1 << 30, threads=1)


@needs_cores
def test_run_next_to_another_is_repeated_alone(beside: Launcher) -> None:
    """A run of networks next to another is repeated alone once, on the same core; the pair gives the interference."""
    first, second = CORES
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        beside.say(line)

    launcher = replace(beside, say=tell)
    job = Job(Plan(()), (), (), "read", 1)
    run = launcher.launch(job, HELD, 0)
    again = launcher.launch(job, HELD, 0)
    assert (run.outcome, run.sharing.cores, run.sharing.neighbours) == ("ok", (second,), 1)
    assert run.sharing.alone_s is not None
    assert len(said) == 1
    assert run.waited_s > 0.1
    assert (again.sharing.cores, again.sharing.neighbours, again.sharing.alone_s) == ((first,), 0, None)
    assert os.sched_getaffinity(0) >= {first, second}
    assert not any("affinity" in notice for notice in run.notices)


@needs_cores
@pytest.mark.parametrize("end", ["raises", "crashes"])
def test_repetition_that_fails_loses_nothing(beside: Launcher, end: str) -> None:
    """If the repetition alone fails, the run stays as it was measured, without a time alone."""
    started = []

    def start(enclosure: Enclosure) -> Measurement:
        started.append(enclosure.name)
        if len(started) > 1 and end == "raises":
            raise Unsupported("the cap", "is gone", "bring it back")
        return launch_command(Command((sys.executable, "-c", f"exit({len(started) - 1})"), {}, "/", b""), 1, enclosure)

    run = beside.launch_with(start, (), HELD, 0, is_repeatable=True)
    assert len(started) == 2
    assert (run.outcome, run.sharing.neighbours, run.sharing.alone_s) == ("ok", 1, None)
