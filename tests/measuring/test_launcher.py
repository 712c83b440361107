"""The launcher tests a read throttle before anything is measured, and repeats runs that overlapped."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.job import Job
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.sharing import Overlap
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits, cores_of
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


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="no two runs have cores of their own here")
def test_run_next_to_another_is_repeated_alone(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of networks next to another is repeated alone once, on the same core; the pair gives the interference."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    first, second = cores_of(2)
    pipe = subprocess.PIPE
    said: list[str] = []
    command = [sys.executable, "-c", NEIGHBOUR, str(first), str(second)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as neighbour:
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline() == "here\n"

        def tell(line: str) -> None:
            said.append(line)
            neighbour.communicate()

        room = SharedMachine(1 << 40, 0, (first, second))
        launcher = replace(bench.launcher, overlap=Overlap(room, tmp_path, tmp_path / "runs"), say=tell, quiet_s=0.1)
        job = Job(Plan(()), (), (), "read", 1)
        held = Constraints(1 << 30, threads=1)
        run = launcher.launch(job, held, 0)
        again = launcher.launch(job, held, 0)
    assert (run.outcome, run.sharing.cores, run.sharing.neighbours) == ("ok", (second,), 1)
    assert run.sharing.alone_s is not None
    assert len(said) == 1
    assert run.waited_s > 0.1
    assert (again.sharing.cores, again.sharing.neighbours, again.sharing.alone_s) == ((first,), 0, None)
    assert os.sched_getaffinity(0) >= {first, second}
    assert not any("affinity" in notice for notice in run.notices)
