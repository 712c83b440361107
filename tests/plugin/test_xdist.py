"""Sessions under pytest-xdist: the same measurements, one after the other, with the settings of the controller."""

from __future__ import annotations

from pathlib import Path

import execnet
import msgspec
import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.planning.plan import Span
from pytest_edgeload.plugin.properties import pack, unpack
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import METRICS, Measurement, Timeline
from pytest_edgeload.results.record import Entry
from tests.plugin.sessions import TEST, Begin, Ended, overlaps, write

PROPERTY = "edgeload"
MEETS = """\
import os, pathlib, time

def test_case(edge, edge_policy, edge_mem):
    marks = pathlib.Path("marks")
    marks.mkdir(exist_ok=True)
    (marks / str(os.getpid())).touch()
    while "PYTEST_XDIST_WORKER" in os.environ and len(list(marks.iterdir())) < 2:
        time.sleep(0.01)
    assert edge.run(["small", "wide"], policy=edge_policy, memory=edge_mem).outcome == "ok"
"""
"""Begins to run under xdist when two processes are there, so that one of them has to wait."""

OPTIONS = ("--edge-policy=linear,bulk", "--edge-mem=512M", "--edge-rounds=2", "--edge-json=out.json")


def cases(ended: Ended) -> set[tuple[object, ...]]:
    """Return the cases with their rounds."""
    return {(record.case, *(m.round for m in record.rounds)) for record in ended.records}


def test_xdist_has_the_same_records_without_overlap(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The cases are the same with and without xdist, and no two runs overlap, however many processes there are."""
    alone, spread = (
        begin(write(tmp_path_factory.mktemp("project"), test_tiny=MEETS), *OPTIONS, processes).end()
        for processes in ("-n0", "-n4")
    )
    assert len(cases(alone)) == 2
    for ended in (alone, spread):
        assert ended.status == 0, ended.said
        assert cases(ended) == cases(alone)
        assert len(ended.measurements) == 4
        assert overlaps(ended.measurements) == []
        assert all(m.tasks and m.timeline.at_s for m in ended.measurements), "whole, although a summary crossed"
        assert ended.running.leavings == []
    assert not any(m.interleaved for m in spread.measurements)
    spread.lines.fnmatch_lines(["edgeload: *rounds 2 not interleaved (xdist)*", "rounds were not interleaved, *"])
    assert any(m.waited_s > 0.5 for m in spread.measurements)
    spread.lines.fnmatch_lines(["runs took turns: * s of waiting over [234] processes (-n 4); --edge-parallel lets *"])
    assert "of waiting" not in alone.said
    measuring = {Path(entry.file).stem.rpartition("-")[2] for entry in spread.running.on_disk}
    assert len(measuring) > 1, "there was somebody to wait for"


def test_measurement_of_a_failed_test_arrives(begin: Begin, project: Path) -> None:
    """A test that fails after a measurement fails the session, and its measurement arrives as well."""
    write(project, test_tiny=TEST.replace('== "ok"', '== "oom"'))
    ended = begin(project, "-n2", "--edge-policy=bulk", "--edge-json=out.json", "--junitxml=junit.xml").end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    assert [m.outcome for m in ended.measurements] == ["ok"]
    [case] = ended.tests.values()
    names = [item.attrib["name"] for item in case.iter("property")]
    assert names.count(PROPERTY) == 1
    assert all(name.startswith(PROPERTY) for name in names)


def test_workers_use_the_controllers_settings(begin: Begin, project: Path) -> None:
    """Workers use the settings of the controller, whatever is in their own environment."""
    (project / "pytest.ini").write_text("[pytest]\nedge_policy = bulk\nedge_threads = 1\n")
    theirs = ("MEM=700M", "ROUNDS=3", "POLICY=partial", "CAP=none", "THREADS=2")
    tx = "//".join(["--tx=2*popen", *(f"env:PYTEST_EDGE_{setting}" for setting in theirs)])
    options = (tx, "--dist=load", "--edge-mem=512M", "--edge-json=out.json")
    ended = begin(project, *options, PYTEST_EDGE_TIMEOUT="200s").end()
    assert ended.status == 0, ended.said
    [record] = ended.records
    assert (record.case.policy, record.case.limit, record.case.threads) == ("bulk", "512M", 1)
    assert len(record.rounds) == 1
    ended.lines.fnmatch_lines([f"edgeload: memory 512M *{record.case.cap}*, threads 1, rounds 1*"])


KILLED = """
import os, pathlib, signal, threading, time

def kill_during_a_run():
    me = os.getpid()
    children = pathlib.Path(f"/proc/{me}/task/{me}/children")
    while not children.read_text().split():
        time.sleep(0.01)
    os.kill(me, signal.SIGKILL)

def test_killed(edge):
    edge.run(["small"])
    threading.Thread(target=kill_during_a_run).start()
    edge.run(["wide"])
"""


def test_killed_xdist_worker_loses_one_run(begin: Begin, project: Path) -> None:
    """A worker of xdist that is killed during a run only loses that run, and the session cleans up after it."""
    write(project, test_tiny=KILLED)
    ended = begin(project, "-n1", "--edge-json=out.json").end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    ended.lines.fnmatch_lines(["*crashed while running 'test_tiny.py::test_killed'*"])
    [record] = ended.records
    assert record.case.workload == "small"
    assert [m.outcome for m in record.rounds] == ["ok"]
    assert ended.running.leavings == []


def test_packed_measurement_is_one_string() -> None:
    """A packed measurement is one string, which execnet carries for all figures."""
    figures = {name: 2**40 if metric.unit in {"bytes", "count"} else 1.5 for name, metric in METRICS.items()}
    known = {"outcome": "crashed", "detail": 'said "ü\x00"', "response_s": (1.0,), "machine_wide": ("stall_s",)}
    bulky = {"tasks": (Span(0, 0, 0.0, 1.0, 2.0),), "timeline": Timeline((0.1,), (1,), (2,), (3,))}
    measurement = msgspec.convert(figures | known | bulky, Measurement)
    case = Case(
        test="a.py::b",
        workload="w",
        policy="p",
        reader="read",
        cap="cgroup2",
        swap="8G",
        limit="base+1G",
        constraints=Constraints(2**40, threads=2),
    )
    entry = Entry(case, measurement, "/tmp/run.json")
    properties = [(PROPERTY, pack(entry))]
    [[name, text]] = execnet.loads(execnet.dumps([list(item) for item in properties]))
    assert (name, type(text)) == (PROPERTY, str)
    assert unpack(text) == msgspec.structs.replace(entry, measurement=measurement.summary())
    with pytest.raises(execnet.DumpError):
        execnet.dumps([PROPERTY, entry])
