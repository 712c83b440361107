"""Faults of a session: its measurements are kept and reported, and nothing of it is left on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from pytest_edgeload.results.document import parse
from pytest_edgeload.sandbox.lock import host_lock
from tests.cli.commands import COMMAND
from tests.plugin.sessions import Begin, Running

IS_ROOT: Final = os.geteuid() == 0
SWAP: Final = {"PYTEST_EDGE_SWAP": "256M"} if IS_ROOT else {}
ROUNDS: Final = ("--edge-mem=64M", "--edge-rounds=60", "--edge-json=out.json", "--edge-csv=out.csv")

SLEEPS: Final = """\
def test_it(edge, edge_mem):
    run = edge.command(["sh", "-c", "sleep 0.1 & sleep 0.1"], memory=edge_mem, name="sleeps")
    assert run.outcome == "ok", run.detail
"""

LEAVES: Final = """\
def test_it(edge, edge_mem, edge_round):
    script = "setsid sleep 600 & sleep 600" if edge_round > 1 else "true"
    assert edge.command(["sh", "-c", script], memory=edge_mem, name="leaves").outcome == "ok"
"""

FAULTS: Final = """\
import os, signal, sys
import psutil

def hold(mib):
    return len(bytearray(mib << 20))

def end(number):
    os.kill(os.getpid(), number)

def print_much():
    for _ in range(100):
        sys.stdout.write("x" * (1 << 20))
    print("last words", file=sys.stderr)
    os._exit(3)

def test_first(edge):
    assert edge.call(hold, 8, memory="64M").outcome == "ok"

def test_oom(edge):
    assert edge.call(hold, 512, memory="64M").outcome == "ok"

def test_next(edge):
    assert edge.call(hold, 8, memory="64M").outcome == "ok"

def test_signal(edge):
    assert edge.call(end, signal.SIGKILL, memory="64M").outcome == "ok"

def test_prints(edge):
    before = psutil.Process().memory_info().rss
    run = edge.call(print_much, memory="64M")
    assert psutil.Process().memory_info().rss < before + (8 << 20)
    assert (run.outcome, run.detail[-10:]) == ("crashed", "last words")

def test_last(edge):
    assert edge.call(hold, 8, memory="64M").outcome == "ok"
"""

KILLS: Final = """\
import os, random, signal, threading, time
from pathlib import Path
import psutil
import pytest
from pytest_edgeload import Mix

LONG = Mix.of("long", ["wide"], images=200)
LEAST, MOST = 200 << 20, 1500 << 20  # what the interpreter reads, and a quarter of what the whole run does

def kill_after(read_bytes):
    while True:
        for worker in psutil.Process().children():
            try:
                if int(Path(f"/proc/{worker.pid}/io").read_text().split()[1]) > read_bytes:
                    return worker.kill()
            except OSError:
                pass
        time.sleep(0.001)

def test_first(edge):
    assert edge.run(["small"]).outcome == "ok"

def test_killed_session_is_cleaned_up_by_the_next(edge, edge_policy, edge_seed):
    read_bytes = random.Random(f"{edge_seed}{edge_policy}").randrange(LEAST, MOST)
    killer = threading.Thread(target=kill_after, args=[read_bytes])
    killer.start()
    run = edge.run(LONG, policy=edge_policy)
    killer.join()
    assert run.outcome == "ok", (read_bytes, run.detail)

def test_last(edge):
    assert edge.run(["small"]).outcome == "ok"
"""

STORM: Final = """\
import os, signal, threading, time
import pytest

def strike():
    for _ in range(4):
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish():
    threading.Thread(target=strike).start()
    try:
        return (yield)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the interpreter's own end is none of ours
"""


def session(start: Begin, folder: Path, text: str, *args: str, **env: str) -> Running:
    """Start a session that waits for no other's runs: nothing here depends on how long anything takes."""
    (folder / "test_it.py").write_text(text)
    return start(folder, *args, TMPDIR=str(folder), **env)


@pytest.mark.parametrize(
    ("number", "send", "distribution"),
    [(signal.SIGTERM, os.kill, ()), (signal.SIGHUP, os.killpg, ()), (signal.SIGTERM, os.kill, ("-n2",))],
    ids=["term-to-pytest", "hup-to-all", "term-to-controller"],
)
def test_ended_session_reports_its_measurements(
    start: Begin,
    tmp_path: Path,
    number: signal.Signals,
    send: Callable[[int, int], None],
    distribution: tuple[str, ...],
) -> None:
    """A session that gets a signal ends as by Ctrl-C: its measurements are reported, and nothing is left."""
    running = session(start, tmp_path, SLEEPS, *ROUNDS, *distribution, **SWAP)
    running.until(lambda: len(running.on_disk) > 1 and running.descendants("sleep"))
    finished = len(running.on_disk)
    send(running.pid, number)
    ended = running.end()
    assert ended.status == pytest.ExitCode.INTERRUPTED, ended.said
    assert len(ended.measurements) == len(running.on_disk) >= finished
    assert {m.outcome for m in ended.measurements} == {"ok"}
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + len(ended.measurements)
    ended.lines.fnmatch_lines(["*= edgeload =*", "sleeps *", f"*KeyboardInterrupt: {number.name}*"])
    assert running.leavings == []
    assert list(tmp_path.glob("cache/sessions/*/unreported")) == []


def test_ctrl_c_does_not_interrupt_the_end(start: Begin, tmp_path: Path) -> None:
    """Ctrl-C again and again while the session cleans up and writes waits: files, baseline and tables are whole."""
    (tmp_path / "conftest.py").write_text(STORM)
    options = ("--edge-mem=64M", "--edge-rounds=2", "--edge-json=out.json", "--edge-csv=out.csv", "--edge-save=kept")
    ended = session(start, tmp_path, SLEEPS, *options, **SWAP).end()
    assert ended.status == pytest.ExitCode.INTERRUPTED, ended.said
    assert len(ended.measurements) == 2
    [saved] = tmp_path.glob(".edgeload/*/0001_kept_*.json")
    assert parse(saved.read_bytes()).summary() == parse((tmp_path / "out.json").read_bytes()).summary()
    ended.lines.fnmatch_lines(["*= edgeload =*", "sleeps *", "baseline saved as *", "*2 passed*"])
    assert ended.running.leavings == []


def test_killed_session_is_cleaned_up_by_the_next(start: Begin, tmp_path: Path) -> None:
    """The next session removes the leftovers of a killed one, processes included, and says how to see its results."""
    killed = session(start, tmp_path, LEAVES, *ROUNDS, **SWAP)
    killed.until(lambda: len(killed.on_disk) > 1 and len(killed.descendants("600")) > 1)
    assert any(name.endswith(".swap") for name in killed.leavings) == IS_ROOT  # any session may remove it afterwards
    killed.kill()
    measured = killed.on_disk
    with host_lock():
        pass  # the kernel has let go of what the session held
    [folder] = tmp_path.glob(f"cache/sessions/*.edgeload-{killed.pid}-*")
    said = [session(start, tmp_path, SLEEPS, "--edge-mem=64M").end().said for _ in range(2)]
    told = f"edgeload: a dead session did not report its {len(measured)} runs"
    assert sum(f"{told}; see: edgeload report {folder}\n" in each for each in said) == 1, said
    assert killed.leavings == []
    shown = subprocess.run([*COMMAND, "report", folder], check=True, capture_output=True, text=True).stdout
    assert f"{len(measured)} ok" in shown
    made = subprocess.run([*COMMAND, "report", folder, "--format=json"], check=True, capture_output=True)
    assert [m for record in parse(made.stdout).records for m in record.rounds] == [e.measurement for e in measured]


def test_faulty_function_has_a_row(start: Begin, tmp_path: Path) -> None:
    """A function that takes all memory, is killed, or prints 100 MB has a row; the ones before and after are kept."""
    ended = session(start, tmp_path, FAULTS, "--edge-json=out.json").end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    assert [m.outcome for m in ended.measurements] == ["ok", "oom", "ok", "crashed", "crashed", "ok"]
    assert [m.detail for m in ended.measurements if m.outcome != "ok"][:2] == [
        "killed by the kernel at its limit of 64M",
        "the worker was ended by signal 9",
    ]
    ended.lines.fnmatch_lines(["hold *oom", "end *crashed", "print_much *crashed", "*2 failed, 4 passed*"])
    assert ended.running.leavings == []


def test_killed_worker_is_a_crash(begin: Begin, project: Path) -> None:
    """A worker that is killed at any of its tasks is a crash with a detail; the ones before and after are kept."""
    (project / "test_tiny.py").unlink()
    ended = session(begin, project, KILLS, "--edge-policy=bulk,partial", "--edge-json=out.json").end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    killed = ("crashed", "the worker was ended by signal 9")
    assert [(m.outcome, m.detail) for m in ended.measurements] == [("ok", ""), killed, killed, ("ok", "")]
    ended.lines.fnmatch_lines(["bulk *ok", "bulk *crashed", "partial *crashed", "bulk *ok", "*2 failed, 2 passed*"])
    assert ended.running.leavings == []
