"""Functions and commands in sessions: shown in one table, recorded, compared and judged like policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.results.case import HOST, LIMIT
from pytest_edgeload.sandbox import visible
from pytest_edgeload.sandbox.caps import choose
from tests.plugin.sessions import Begin, Ended

CONFTEST = """
def hold(mib):
    return [len(bytearray(mib << 20)), Box]

class Box:
    pass
"""

TEST = """
import os, sys, threading
from functools import partial
import pytest
from conftest import hold

LOCK = threading.Lock()

def test_programs(edge, edge_mem):
    measured = edge.call(lambda mib: hold(mib)[0], int(os.environ.get("HELD", "32")), memory=edge_mem, name="hold")
    assert measured.outcome == "ok", measured.detail
    assert measured.returned == int(os.environ.get("HELD", "32")) << 20
    python = [sys.executable, "-c", "import os; bytearray(16 << 20); print(os.environ['OMP_NUM_THREADS'])"]
    assert edge.command(python, memory=edge_mem).outcome == "ok"
"""

REFUSED = """
import json, threading
import numpy
LOCK = threading.Lock()

def test_lock(edge):
    edge.call(lambda: LOCK)

def test_none(edge):
    edge.call(None)

def test_gone(edge):
    edge.command(["no-such-program"])

def test_base(edge):
    edge.command(["true"], memory="base+64M")

def test_small(edge):
    edge.call(int, memory="8M")

def test_name(edge):
    edge.command(["true"], name="a/b")

def test_size(edge):
    edge.call(int, memory="8MB")

def test_twice(edge):
    edge.command(["true", "a"])
    edge.command(["true", "a"])
    edge.command(["true", "b"])

def test_bytes(edge):
    edge.command(["true"], memory=512)

def test_variable(edge):
    edge.command(["true"], env={"N": None})

def test_converted(edge):
    script = 'test "$0 $N $M" = "5 4 0.5"'
    env = {"N": 4, "M": numpy.float32(0.5)}
    measured = edge.command(["sh", "-c", script, numpy.int64(5)], memory=64 << 20, env=env)
    assert measured.outcome == "ok", measured.detail

def test_within(edge):
    calls = iter([False, True])
    ask = lambda: edge.call(int)
    measured = edge.command(["sleep", "60"], ready=lambda: next(calls), ask=ask)
    assert measured.outcome == "ok", measured.detail

def parse(text):
    return json.loads(text)

def test_of_policy(edge):
    edge.call(int, name="bulk", workload=["net"])

def test_of_workload(edge):
    edge.call(int, workload=["net"], repeat=2)

def test_of_reader(edge):
    edge.call(int, reader="direct")

def test_of_stream(edge):
    from pytest_edgeload import Constant, Mix
    edge.call(int, workload=Mix.of("net", ["net"]).arriving(Constant(1)))

def test_raises(edge):
    measured = edge.call(parse, "{")
    assert measured.outcome == "ok", measured.detail
"""

OPTIONS = ("--edge-mem=256M", "--edge-rounds=2", "--edge-threads=1", "--edge-json=out.json", "--junitxml=junit.xml")
GATE = "--edge-compare-fail=peak:16M,peak/python:50%,makespan/nobody:10%"

_, ENFORCED = choose("auto")


@pytest.fixture(scope="module")
def saved(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return a session that saved a baseline, in a project without networks, and wrote every file."""
    folder = tmp_path_factory.mktemp("calls")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_calls.py").write_text(TEST.replace("python)", "python, name='python')"))
    files = ("--edge-csv=o.csv", "--edge-md=o.md", "--edge-html=o.html", "--edge-trace=o.trace", "--edge-export=bmf:o")
    return begin(folder, *OPTIONS, *files, "--edge-save=first").end()


def test_function_and_command_share_a_table(saved: Ended) -> None:
    """A function and a command of one test are rows of one table, by their names, without a ratio to bulk."""
    assert saved.status == 0, saved.said
    enforced = "" if ENFORCED.enforces else " (NOT enforced)"
    saved.lines.fnmatch_lines(
        [
            f"test_calls.py::test_programs program at 256M{enforced}",
            "cap *, swap *, 1 threads",
            "program *makespan s *peak_anon *peak_file *swap in/out *faults *outcome",
        ]
    )
    saved.lines.fnmatch_lines_random(["hold *2 ok", "python *2 ok"])  # the quicker one is first
    assert "x bulk" not in saved.said
    assert len({record.case.group for record in saved.records}) == 1
    found = {record.case.policy: record.rounds for record in saved.records}
    assert [m.returned for m in found["hold"]] == [32 << 20] * 2
    assert [m.round for m in found["python"]] == [0, 1]
    assert all((saved.running.folder / name).stat().st_size for name in ("o.csv", "o.md", "o.html", "o.trace", "o"))


@pytest.mark.parametrize("processes", ["0", "2"], ids=["alone", "xdist"])
def test_gate_judges_programs(saved: Ended, begin: Begin, processes: str) -> None:
    """A program that uses more memory fails, alone and relative to a command; an unknown reference is shown."""
    ended = begin(saved.running.folder, *OPTIONS, GATE, "-n", processes, HELD="128", COLUMNS="250").end()
    assert ended.status == 1, ended.said
    regressed = "regressed: hold at 256M: "
    for figure in ("peak ", "peak/python "):
        assert any(line.strip().startswith(regressed + figure) for line in ended.lines.lines), ended.said
    assert "regressed: python" not in ended.said
    assert "no round has makespan/nobody" in ended.said
    assert [len(record.rounds) for record in ended.records] == [2, 2]


def test_misspelled_policy_is_refused_before_programs_run(saved: Ended, begin: Begin) -> None:
    """A reference that is almost the name of a policy is refused before anything runs."""
    ended = begin(saved.running.folder, *OPTIONS, "--edge-compare-fail=makespan/bulkk:10%").end()
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert "bulkk is not a policy; did you mean bulk?" in ended.said


def test_base_is_the_worker_that_calls_functions(saved: Ended, begin: Begin) -> None:
    """`base` is the need of the worker that calls functions; a session without networks starts no other idle worker."""
    project = saved.running.folder
    (project / "test_base.py").write_text("def test_it(edge, edge_mem):\n    edge.call(int, memory=edge_mem)\n")
    ended = begin(project, "test_base.py", *OPTIONS[1:], "--edge-mem=base+32M").end()
    assert ended.status == 0, ended.said
    [record] = ended.records
    assert record.case.limit_bytes is not None
    assert 40 << 20 < record.case.limit_bytes < 96 << 20


SEEING = """
def total_kib():
    return int(open("/proc/meminfo").readline().split()[1])

def test_total(edge, edge_mem):
    assert edge.call(total_kib, memory=edge_mem).outcome == "ok"
"""


def test_view_is_a_coordinate_of_the_case(begin: Begin, tmp_path: Path) -> None:
    """Under --edge-view=limit a function sees its limit, and the host without one; cases and the header say so."""
    try:
        visible.check(LIMIT, is_enforced=ENFORCED.enforces)
    except Refusal as error:
        pytest.skip(str(error))
    (tmp_path / "test_seeing.py").write_text(SEEING)
    ended = begin(tmp_path, "--edge-view=limit", "--edge-mem=64M,none", "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(["edgeload: memory 64M*enforced by *, view limit, *", "cap *, view limit, *"])
    seen = {record.case.view: record.rounds[0].returned for record in ended.records}
    assert seen.keys() == {HOST, LIMIT}
    assert seen[LIMIT] == 64 << 10 < seen[HOST]


def test_disabled_programs_run_once_without_a_record(saved: Ended, begin: Begin) -> None:
    """Under --edge-disable both run once without a limit, and nothing is recorded."""
    options = ("--edge-disable", "--edge-mem=16M", "--edge-rounds=2")
    ended = begin(saved.running.folder, "test_calls.py", *options).end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(["* 1 passed*"])
    assert ended.running.on_disk == []


def test_refused_program_fails_its_test_in_one_sentence(begin: Begin, tmp_path: Path) -> None:
    """A program that cannot run is one sentence with a hint in the failure of its test; an exception has its lines."""
    (tmp_path / "test_refused.py").write_text(REFUSED)
    (tmp_path / "conftest.py").touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "conftest.py").touch()
    (tmp_path / "inner" / "test_inner.py").write_text("def test_it(edge):\n    edge.call(int)\n")
    ended = begin(tmp_path, "--junitxml=junit.xml").end()
    ended.lines.fnmatch_lines(["* 16 failed, 2 passed*"])  # two folders may have a conftest.py each
    for test, sentence in {
        "test_lock": "edge.call of lambda: it cannot be sent to a worker: cannot pickle '_thread.lock' object; *",
        "test_none": "edge.call: None is not a function; give a function and its arguments",
        "test_gone": "command no-such-program: not in a folder of *; build or install it, *",
        "test_base": "memory limit base+64M: a command has no idle worker to be above; give a size such as 512M",
        "test_small": "memory limit 8M: the worker needs *M before it calls anything; try at least *M, or base+64M",
        "test_name": "name='a/b': a threshold could not contain it; use letters, digits, *",
        "test_twice": "program true: two programs of this test have this name; give them names by name=",
        "test_of_policy": "program bulk: a policy or peer has this name; give it another by name=",
        "test_of_workload": "program int, workload net: a workload is answered once, not 2 times; leave repeat= out",
        "test_of_reader": "reader='direct': only a function that answers a workload has one; give workload=, *",
        "test_of_stream": "program int, workload net: a function cannot answer requests that arrive over time; let *",
        "test_bytes": "memory=512: no process fits into 512 bytes; did you mean 512M?",
        "test_variable": "env[[]'N']=None: neither text, a number nor a path; give text in quotes, *",
        "test_within": "edge.call: another measurement of this test is still running; measure *",
        "test_size": "memory='8MB': MB means 1000 to some and 1024 to others; write 8M, which is 1024",
    }.items():
        pytest.LineMatcher([ended.failure(test).attrib["message"]]).fnmatch_lines([f"*: {sentence}"])
    ended.lines.fnmatch_lines(["*- Captured traceback of parse call -*", '  File "*test_refused.py", line *, in parse'])
    assert "/json/__init__.py" not in ended.said
