"""Sessions on three hosts: real ones, with addresses and ssh servers of their own, on this machine."""

from __future__ import annotations

import os
import re
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pytest_edgeload import cli
from tests.hosts.conftest import Session
from tests.hosts.network import NAMES, Machine
from tests.plugin.sessions import PATIENCE_S, Ended, overlaps

pytestmark = pytest.mark.xdist_group("hosts")

SLEEPS = """\
def test_sleep(edge, edge_mem, edge_host, edge_seed, record_property):
    record_property("seed", edge_seed)
    assert edge.command(["sleep", "0.01"], memory=edge_mem).outcome == "ok"
"""

LOSES_BETA = """\
import pathlib, time

def test_sleep(edge, edge_mem, edge_host, edge_round):
    if edge_host == "alpha" and edge_round == 3:
        while not pathlib.Path("{returned}").exists():
            time.sleep(0.1)
    if edge_host == "beta" and edge_round == 1:
        pathlib.Path("{begun}").touch()
        while not pathlib.Path("{is_cut_off}").exists():
            time.sleep(0.1)
    seconds = 600 if edge_host == "beta" and edge_round > 1 else 0.01
    assert edge.command(["sleep", str(seconds)], memory=edge_mem).outcome == "ok"
"""

SHARES = """\
import pathlib, time

def test_share(edge, edge_mem):
    marks, data = pathlib.Path("{marks}"), pathlib.Path("data.txt")
    (marks / data.read_text()).touch()
    before = data.read_text()
    while not (marks / "second").exists():
        time.sleep(0.1)
    assert edge.command(["sleep", "0.01"], memory=edge_mem).outcome == "ok"
    assert data.read_text() == before
"""

ALLOCATES = """\
import sys

def test_allocate(edge, edge_host):
    size = 5
    assert edge.command([sys.executable, "-c", f"x = bytearray(1 + ({size} << 20))"]).outcome == "ok"
"""

HANGS = """\
import time

def test_hang(edge):
    edge.command(["true"])
    time.sleep(600)
"""

STANDS_STILL = """\
import pathlib, time

def test_wait(edge, edge_host):
    if edge_host == "alpha":
        pathlib.Path("{begun}").touch()
    while edge_host == "alpha" or not pathlib.Path("{returned}").exists():
        time.sleep(0.1)
    assert edge.command(["true"]).outcome == "ok"

def test_after(edge):
    assert edge.command(["true"]).outcome == "ok"
"""

BLOCKS_RUNS = """\
import pathlib

def test_block(edge):
    [runs] = pathlib.Path("{sessions}").glob("*/runs")
    runs.rmdir()
    runs.touch()
    assert edge.command(["true"]).outcome == "ok"
"""

FILLS_A_DISK = """\
import os

def test_before(edge):
    assert edge.command(["true"]).outcome == "ok"

def test_fill(edge, edge_host, request):
    if edge_host == "gamma":
        with open(request.config.rootpath / "full", "wb") as file:
            try:
                while file.write(bytes(4096)):
                    file.flush()
            except OSError:
                pass
    assert edge.command(["true"]).outcome == "ok"
"""


def tables(hosts: tuple[Machine, ...]) -> str:
    """Return a file of all hosts."""
    return "\n".join(host.table() for host in hosts)


def python(folder: Path, **modules: str) -> str:
    """Return the path of an interpreter that imports these modules before any others of their names."""
    folder.mkdir()
    for name, text in modules.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return str(program)


def without_groups(program: Path) -> str:
    """Return the path of an interpreter that sees no control groups, so that it cannot enforce a limit."""
    script = f'umount --recursive --lazy /sys/fs/cgroup && exec {sys.executable} "$@"'
    program.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{script}' sh \"$@\"\n")
    program.chmod(0o755)
    return str(program)


def by_host(ended: Ended) -> dict[str | None, list[int]]:
    """Return the rounds of each host."""
    return {record.case.host: [m.round for m in record.rounds] for record in ended.records}


def test_suite_comes_home_as_one_table(hosts: tuple[Machine, ...], session: Session) -> None:
    """Each host runs each round under a real limit; records, the table, CSV and the ids of tests name the host."""
    options = (
        "--edge-mem=64M",
        "--edge-rounds=2",
        "--edge-json=out.json",
        "--edge-csv=out.csv",
        "--junitxml=junit.xml",
    )
    ended = session(SLEEPS, tables(hosts), *options).end()
    assert ended.status == 0, ended.said
    assert by_host(ended) == {name: [0, 1] for name in NAMES}
    assert all(record.case.limit == "64M" and record.case.cap != "none" for record in ended.records)
    assert all(m.interleaved and m.timeline.at_s for m in ended.measurements), "whole, with the timeline"
    assert len(ended.running.on_disk) == 6
    seeds = {test.find("properties/property[@name='seed']").attrib["value"] for test in ended.tests.values()}  # type: ignore[union-attr]
    assert seeds == {ended.settings["seed"]}, "each host draws the printed seed"
    assert {f"test_sleep[{host}-64M-round{i}]" for host in by_host(ended) for i in range(2)} == set(ended.tests)
    ended.lines.fnmatch_lines(["*hosts alpha, beta, gamma, rounds 2*", "program  * host *", "sleep    * alpha *"])
    assert (ended.running.folder / "out.csv").read_text().splitlines()[0].startswith("policy,host,device,")


def test_lost_host_loses_only_its_unfinished_tests(
    hosts: tuple[Machine, ...], session: Session, tmp_path: Path
) -> None:
    """A host without network ends by itself, and its open tests fail by name; its run meanwhile comes home.

    --lf runs these tests again.
    """
    alpha, beta, gamma = hosts
    begun, is_cut_off, returned = (tmp_path / name for name in ("begun", "is_cut_off", "returned"))
    options = ("--edge-mem=64M", "--edge-rounds=4", "--edge-json=out.json")
    test = LOSES_BETA.format(begun=begun, is_cut_off=is_cut_off, returned=returned)
    running = session(test, "\n".join([alpha.table(), beta.table(ssh=beta.impatient_ssh), gamma.table()]), *options)
    running.until(begun.exists)
    process = beta.process(running.pid)
    beta.cut_off()
    is_cut_off.touch()
    try:
        running.until(lambda: not process.is_running())
        assert beta.groups(process) == []
    finally:
        beta.connect()
    returned.touch()
    ended = running.end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    assert by_host(ended) == {"alpha": [0, 1, 2, 3], "beta": [0, 1], "gamma": [0, 1, 2, 3]}
    ended.lines.fnmatch_lines(
        [
            "edgeload: beta was lost; 3 of its tests have not ended",
            "edgeload: beta answers again; fetched 1 run",
            "*records written*",
        ]
    )
    ended.lines.fnmatch_lines([f"FAILED test_it.py::test_sleep[[]beta-64M-round{i}[]]*" for i in (1, 2, 3)])
    again = session(SLEEPS, tables(hosts), *options, "--lf").end()
    assert again.status == 0, again.said
    assert by_host(again) == {"beta": [1, 2, 3]}


def test_session_that_stood_still_loses_its_hosts(hosts: tuple[Machine, ...], session: Session, tmp_path: Path) -> None:
    """A host that gave up a suspended session is lost when that continues, and the other host goes on."""
    alpha, beta, _ = hosts
    begun, returned = tmp_path / "begun", tmp_path / "returned"
    test = STANDS_STILL.format(begun=begun, returned=returned)
    patient = f"-oServerAliveInterval=100 {beta.ssh}"
    file = alpha.table(ssh=alpha.impatient_ssh) + beta.table(ssh=patient)
    running = session(test, file, "--edge-json=out.json")
    running.until(begun.exists)
    process = alpha.process(running.pid)
    os.kill(running.pid, signal.SIGSTOP)
    try:
        process.wait(PATIENCE_S)
        returned.touch()
    finally:
        os.kill(running.pid, signal.SIGCONT)
    ended = running.end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    ended.lines.fnmatch_lines(["edgeload: alpha was lost; 2 of its tests have not ended"])
    assert [record.case.host for record in ended.records] == ["beta", "beta"]


def test_host_keeps_runs_that_could_not_be_written_here(
    hosts: tuple[Machine, ...], session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are in the table, and are fetched later for the folder of this one."""
    alpha, sessions = hosts[0], tmp_path / "cache0/sessions"
    ended = session(BLOCKS_RUNS.format(sessions=sessions), alpha.table(), "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    assert by_host(ended) == {"alpha": [0]}
    [blocked] = sessions.glob("*/runs")
    blocked.unlink()
    assert cli.main(["hosts", "fetch", str(tmp_path / "boards.toml"), f"--cache-dir={sessions.parent}"]) == 0
    assert capsys.readouterr().out.startswith("alpha: fetched 1 run of an earlier session; see: edgeload report ")


def test_runs_of_a_killed_session_are_fetched_by_the_next_one(
    hosts: tuple[Machine, ...], session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If pytest here is killed, the host ends by itself; its run that was in no report comes home, once."""
    alpha, cache = hosts[0], str(tmp_path / "cache")
    running = session(HANGS, alpha.table(), PYTEST_EDGE_CACHE_DIR=cache)
    running.until(lambda: alpha.runs(running.pid))
    process = alpha.process(running.pid)
    running.kill()
    process.wait(PATIENCE_S)
    assert alpha.groups(process) == []
    assert running.on_disk == []
    ended = session("def test_nothing():\n    pass\n", alpha.table(), PYTEST_EDGE_CACHE_DIR=cache).end()
    ended.lines.fnmatch_lines(["edgeload: alpha: fetched 1 run of an earlier session; see: edgeload report *"])
    [entry] = running.on_disk
    assert (entry.case.host, entry.measurement.outcome) == ("alpha", "ok")
    assert cli.main(["hosts", "fetch", str(tmp_path / "boards.toml"), f"--cache-dir={cache}"]) == 0
    assert capsys.readouterr().out == "alpha: nothing to fetch\n"


def test_unfit_host_is_refused_in_one_sentence(
    hosts: tuple[Machine, ...], session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host with another version of the package, without its Python or without limits is named before any test."""
    alpha, beta, gamma = hosts
    old = python(
        tmp_path / "old", **{"pytest_edgeload-0.0.9.dist-info__METADATA": "Name: pytest-edgeload\nVersion: 0.0.9\n"}
    )
    ended = session(SLEEPS, beta.table(python=without_groups(tmp_path / "python-without-groups"))).end()
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: beta: memory controller: none is mounted; boot with the kernel parameter" in ended.said
    file = "\n".join([alpha.table(python=old), beta.table(), gamma.table(python="/nowhere/python")])
    ended = session(SLEEPS, file).end()
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: alpha: pytest-edgeload 0.0.9, but {version('pytest-edgeload')} here; run edgeload" in ended.said
    assert cli.main(["hosts", "check", str(tmp_path / "boards.toml")]) == 1
    said = capsys.readouterr().out
    pytest.LineMatcher(said.splitlines()).fnmatch_lines(["alpha * NO *", "beta * yes *", "gamma * NO *"])
    assert "gamma: " in said
    assert "/nowhere/python" in said


def test_equal_hosts_share_the_tests(hosts: tuple[Machine, ...], session: Session) -> None:
    """With --dist=load each group of cases is measured on one host, and the cases do not depend on the host."""
    options = ("--edge-mem=64M,80M,96M", "--edge-rounds=2", "--dist=load", "--edge-json=out.json")
    ended = session(SLEEPS, tables(hosts), *options).end()
    assert ended.status == 0, ended.said
    assert {record.case.limit: record.case.host for record in ended.records} == dict.fromkeys(("64M", "80M", "96M"))
    assert [len({m.host for m in record.rounds}) for record in ended.records] == [1, 1, 1]
    assert {m.host for m in ended.measurements} == set(NAMES)
    file = "\n".join([hosts[0].table(device="rpi3"), hosts[1].table()])
    refused = session(SLEEPS, file, "--dist=load").end()
    assert "ERROR: alpha and beta: different machines or devices; leave out --dist=load" in refused.said


def test_each_host_is_compared_with_itself(hosts: tuple[Machine, ...], session: Session, tmp_path: Path) -> None:
    """A finding names its host; the baseline of one host is not used for another one, nor for its new machine."""
    alpha, beta, gamma = hosts
    storage = f"--edge-storage={tmp_path / 'baselines'}"
    saved = session(ALLOCATES, alpha.table() + beta.table(), storage, "--edge-save=main").end()
    assert saved.status == 0, saved.said
    changed = python(tmp_path / "changed", **{"sitecustomize.py": "import os\nos.cpu_count = lambda: 77\n"})
    file = alpha.table() + beta.table(python=changed) + gamma.table()
    larger = ALLOCATES.replace("= 5", "= 60 if edge_host == 'beta' else 5")
    options = ("--edge-compare=main", "--edge-compare-fail=peak:10M,makespan:50%")
    ended = session(larger, file, storage, *options).end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    assert ", without host gamma, of another machine on beta: only ratios, bytes and counts" in ended.said
    found = re.findall(r"^(\w+): python at no limit on host (\w+): (\w+)", ended.said, re.MULTILINE)
    expected = [("inconclusive", "alpha", "makespan"), ("new", "gamma", "peak"), ("incomparable", "beta", "makespan")]
    assert {*found} == {*expected, ("regressed", "beta", "peak")}


def test_two_controllers_share_a_host(hosts: tuple[Machine, ...], session: Session, tmp_path: Path) -> None:
    """Two sessions of one project on one machine take turns, and each sees its own files, also if it is there twice."""
    alpha, marks, data = hosts[0], tmp_path / "marks", tmp_path / "project/data.txt"
    marks.mkdir()
    test, options = SHARES.format(marks=marks), ("--edge-mem=64M", "--edge-rounds=2")
    data.write_text("first")
    first = session(test, alpha.table(), *options)
    first.until((marks / "first").exists)
    data.write_text("second")
    second = session(test, alpha.table() + alpha._replace(name="twin").table(), *options)
    for ended in (second.end(), first.end()):
        assert ended.status == 0, ended.said
    runs = [entry.measurement for running in (first, second) for entry in running.on_disk]
    assert len(runs) == 6
    assert overlaps(runs) == []


def test_full_disk_and_wrong_clock_of_a_host(
    hosts: tuple[Machine, ...], session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host whose disk is full fails its own tests in a sentence; a clock that is an hour off only is reported."""
    alpha, _, gamma = hosts
    clock = {"sitecustomize.py": "import time\nnow = time.time\ntime.time = lambda: now() + 3600\n"}
    ahead = python(tmp_path / "ahead", **clock)
    with gamma.small_disk() as folder:
        file = "\n".join([alpha.table(python=ahead), gamma.table(folder=str(folder))])
        ended = session(FILLS_A_DISK, file, "--edge-json=out.json").end()
        assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
        assert {(record.case.host, record.case.test) for record in ended.records} >= {
            ("alpha", "test_it.py::test_before"),
            ("alpha", "test_it.py::test_fill"),
            ("gamma", "test_it.py::test_before"),
        }
        ended.lines.fnmatch_lines(["FAILED test_it.py::test_fill[[]gamma[]] - *No space left on device*"])
        cli.main(["hosts", "check", str(tmp_path / "boards.toml")])
    said = capsys.readouterr().out
    assert re.search(r"alpha: its clock is (60\.0|59\.\d) min ahead; run ssh", said), said  # less if it answers late
    assert re.search(r"gamma: (0|\d+K) are free in", said), said
