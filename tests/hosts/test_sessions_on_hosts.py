"""Sessions on three hosts: real ones, with addresses and ssh servers of their own, on this machine."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pytest_edgeload import cli
from tests.hosts.conftest import Session
from tests.hosts.network import NAMES, Machine
from tests.plugin.sessions import Ended, overlaps

pytestmark = pytest.mark.xdist_group("hosts")

SLEEPS = """\
def test_sleep(edge, edge_mem, edge_host, edge_seed, record_property):
    record_property("seed", edge_seed)
    assert edge.command(["sleep", "0.01"], memory=edge_mem).outcome == "ok"
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


def test_lost_host_loses_only_its_unfinished_tests(hosts: tuple[Machine, ...], session: Session) -> None:
    """A host without network is given up: the others finish, its open tests fail by name, and --lf runs these."""
    _, beta, _ = hosts
    options = ("--edge-mem=64M", "--edge-rounds=4", "--edge-json=out.json")
    running = session(SLEEPS.replace("0.01", "0.4"), tables(hosts), *options)
    running.until(lambda: any(entry.case.host == "beta" for entry in running.on_disk))
    beta.cut_off()
    try:
        ended = running.end()
    finally:
        beta.connect()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    found = by_host(ended)
    assert found["alpha"] == found["gamma"] == list(range(4))
    assert found["beta"] == list(range(len(found["beta"]))), "no measurement counts twice"
    said = re.search(r"edgeload: beta was lost; (\d+) of its tests have not ended", ended.said)
    assert said is not None, ended.said
    lost = range(4 - int(said[1]), 4)
    assert lost.start in {len(found["beta"]), len(found["beta"]) - 1}, "a test may be lost after its measurement came"
    ended.lines.fnmatch_lines(["*records written*"])
    ended.lines.fnmatch_lines([f"FAILED test_it.py::test_sleep[[]beta-64M-round{i}[]]*" for i in lost])
    again = session(SLEEPS, tables(hosts), *options, "--lf").end()
    assert again.status == 0, again.said
    assert by_host(again) == {"beta": list(lost)}


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


def test_two_controllers_share_a_host(hosts: tuple[Machine, ...], session: Session) -> None:
    """Two sessions on one host at the same time take turns, and each has all of its records."""
    options = ("--edge-mem=64M", "--edge-rounds=3")
    both = [session(SLEEPS, hosts[0].table(), *options, f"--edge-json={name}.json") for name in ("out", "other")]
    first, second = [running.end() for running in both]
    assert (first.status, second.status) == (0, 0), first.said + second.said
    runs = sorted((e.measurement for ended in (first, second) for e in ended.running.on_disk), key=lambda m: m.started)
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
    assert "alpha: its clock is 60.0 min ahead; run ssh" in said
    assert "gamma: 0 are free in" in said
