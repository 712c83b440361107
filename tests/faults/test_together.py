"""Two sessions at once on one host, in one project and with one cache: both are whole, and take turns."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO

import psutil
import pytest

from pytest_edgeload.networks.store import Store
from pytest_edgeload.results import baseline
from pytest_edgeload.sandbox.lock import host_lock
from tests.cli.commands import COMMAND, environment
from tests.plugin.sessions import PATIENCE_S, Begin, Running, overlaps, write


@pytest.fixture
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Move the lock of this host to a folder of this test; return it, for TMPDIR."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def until_said(process: subprocess.Popen[str], stream: IO[str] | None, words: str) -> str:
    """Read until a line has these words; return the text. Fails if the process ends or is silent."""
    assert stream is not None
    read = ""
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    try:
        while words not in read:
            line = stream.readline()
            assert line, f"{words!r} was not said in: {read}"
            read += line
    finally:
        timer.cancel()
    return read


def heard(session: Running, words: str) -> str:
    """Do so with a session of pytest."""
    return until_said(session._process, session._process.stdout, words)


def waiting() -> str:
    return f"edgeload: waits for process {os.getpid()} in {Path.cwd()}, because measured runs on one host take turns"


TWICE = """
def test_one(edge):
    edge.command(["/bin/true"], name="one")

def test_two(edge):
    edge.command(["/bin/true"], name="two")
"""


@pytest.mark.parametrize(("options", "who"), [((), ""), (("-n1", "-v"), "[gw0] ")])
def test_waiting_session_names_the_other(
    start: Begin, tmp_path: Path, own_lock: Path, options: tuple[str, ...], who: str
) -> None:
    """A session that has to wait names the other, once, although output of tests is captured, and states the wait.

    Under xdist the process that waits says so.
    """
    project = write(tmp_path, test_tiny=TWICE, conftest="")
    with host_lock():
        session = start(project, *options, TMPDIR=str(own_lock))
        said = heard(session, f"{who}{waiting()}\n")
    ended = session.end()
    assert ended.status == 0, ended.said
    assert f"{said}{ended.said}".count("edgeload: waits") == 1
    ended.lines.fnmatch_lines(["runs waited [1-9]* s for runs of other sessions, because they take turns"])
    assert session.leavings == []


def test_waiting_command_names_the_other(prepared: Path, tmp_path: Path, own_lock: Path) -> None:
    """`edgeload minmem` says the same, and Ctrl-C ends the wait."""
    env = environment(prepared) | {"TMPDIR": str(own_lock)}
    with (
        host_lock(),
        subprocess.Popen(
            [*COMMAND, "minmem", "small"], cwd=write(tmp_path), env=env, stderr=subprocess.PIPE, text=True
        ) as minmem,
    ):
        until_said(minmem, minmem.stderr, waiting())
        minmem.send_signal(signal.SIGINT)
        assert minmem.wait(PATIENCE_S) == 128 + signal.SIGINT


SLOW = """
import pathlib, time
import tiny

def slow():
    here = pathlib.Path(__file__)
    with here.with_name("begun").open("a") as begun:
        begun.write("x")
    while here.with_name("wait").exists():
        time.sleep(0.01)
    return tiny.small()
"""
"""A network that is not made while there is a file that says so."""

REGISTERED = "def pytest_edge_networks(register):\n    register('slow', 'slow:slow')\n"

ASKED = "def test_slow(edge):\n    assert edge.run(['slow']).outcome == 'ok'\n"


def test_two_sessions_never_measure_at_once(start: Begin, tmp_path: Path) -> None:
    """One that is killed while it makes a network leaves nothing; of the next two one makes it, the other says so.

    They use one cache, one of them under xdist, never measure at once, and each saves a baseline.
    """
    write(tmp_path, slow=SLOW, conftest=REGISTERED, test_tiny=ASKED)
    begun, store = tmp_path / "begun", Store(tmp_path / "cache")
    (tmp_path / "wait").touch()
    killed = start(tmp_path)
    killed.until(begun.exists)
    [maker] = killed.descendants("pytest_edgeload.exporting.maker")
    killed.kill()
    assert psutil.wait_procs([maker], PATIENCE_S)[1] == []
    assert list((store.root / "networks").iterdir()) == []
    begun.unlink()

    saving = ("--edge-save=main", f"--edge-storage={tmp_path / 'saved'}")
    first = start(tmp_path, *saving, "-n2")
    first.until(begun.exists)
    [maker] = first.descendants("pytest_edgeload.exporting.maker")
    second = start(tmp_path, *saving)
    heard(second, f"edgeload: making network slow (waiting for process {maker.pid} in {tmp_path})")
    (tmp_path / "wait").unlink()
    for session in (first, second):
        ended = session.end()
        assert ended.status == 0, ended.said
        assert session.leavings == []
    assert begun.read_text() == "x"
    assert len(list((store.root / "networks").iterdir())) == 1
    found = [entry.measurement for session in (first, second) for entry in session.on_disk]
    assert len(found) == 2
    assert overlaps(found) == []
    saved = [baseline.load(path) for path in (tmp_path / "saved").rglob("*.json")]
    assert [len(document.records) for document in saved] == [1, 1]
    assert list((tmp_path / "saved").rglob("*.part")) == []
