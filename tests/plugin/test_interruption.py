"""Sessions that end before their time, and sessions that run side by side: nothing measured is lost, nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Running, measurements, overlaps, records

from pytest_edgeload.results.record import Entry
from pytest_edgeload.sandbox.lock import host_lock

LONG = ("--edge-policy=bulk", "--edge-rounds=40", "--edge-mem=512M", "--edge-json=out.json")
Begin = Callable[..., Running]


@pytest.fixture
def begin(project: pytest.Pytester, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Return what starts a session in the project; those that still run when the test is over are killed."""
    monkeypatch.setenv("PYTEST_EDGE_SWAP", "256M" if os.geteuid() == 0 else "off")
    begun: list[Running] = []

    def start(*args: str) -> Running:
        begun.append(Running(project, prepared, *args))
        return begun[-1]

    yield start
    for running in begun:
        running.kill()


def rounds(entries: list[Entry]) -> list[float]:
    return sorted(entry.measurement.started for entry in entries)


@pytest.mark.parametrize("to_all", [True, False], ids=["to-all", "to-pytest"])
@pytest.mark.parametrize("distribution", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_ctrl_c(begin: Begin, project: pytest.Pytester, distribution: tuple[str, ...], to_all: bool) -> None:
    """Ctrl-C during a run leaves every finished measurement in file and summary, and nothing on the machine."""
    running = begin(*LONG, *distribution)
    running.until(lambda: running.on_disk and running.workers)
    finished = len(running.on_disk)
    (os.killpg if to_all else os.kill)(running.pid, signal.SIGINT)
    status, said = running.end()
    assert status == pytest.ExitCode.INTERRUPTED, said
    found = measurements(records(project.path / "out.json"))
    assert len(found) >= finished
    assert [m.started for m in found] == rounds(running.on_disk)
    assert {m.outcome for m in found} == {"ok"}, "a run that was cut short is no measurement"
    pytest.LineMatcher(said.splitlines()).fnmatch_lines(["*KeyboardInterrupt*"])
    assert f"{len(found)} ok" in said or len(found) == 1
    assert running.leavings == []


def test_ctrl_c_while_waiting(begin: Begin, project: pytest.Pytester) -> None:
    """Ctrl-C while another session measures ends the wait at once, with an empty file of records."""
    with host_lock():
        running = begin(*LONG)
        running.until(lambda: list(running._cache.glob(f"sessions/*.edgeload-{running.pid}-*/shared.json")))
        running.signal(signal.SIGINT)
        status, said = running.end()
    assert status == pytest.ExitCode.INTERRUPTED, said
    assert running.leavings == []


def test_kill(begin: Begin) -> None:
    """After SIGKILL every finished measurement is on disk, and the next session removes the rest and says so."""
    killed = begin(*LONG)
    killed.until(lambda: killed.on_disk and killed.workers)
    killed.kill()
    found = killed.on_disk
    assert found
    assert {entry.measurement.outcome for entry in found} == {"ok"}
    assert any("swap" in name for name in killed.leavings) == (os.geteuid() == 0)
    status, said = begin("--edge-policy=bulk").end()
    assert status == 0, said
    lines = pytest.LineMatcher(said.splitlines())
    if os.geteuid() == 0:
        lines.fnmatch_lines([f"edgeload: removed edgeload-{killed.pid}-*.swap, left by a session that is gone"])
    assert killed.leavings == []
    assert killed.on_disk == found, "what was measured stays"


def test_two_sessions(begin: Begin) -> None:
    """Two sessions on one host both succeed, and no run of one overlaps a run of the other."""
    pair = [begin("--edge-policy=bulk,linear", "--edge-mem=512M") for _ in range(2)]
    for running in pair:
        status, said = running.end()
        assert status == 0, said
    found = [entry.measurement for running in pair for entry in running.on_disk]
    assert len(found) == 4
    assert overlaps(found) == []
    assert [running.leavings for running in pair] == [[], []]
