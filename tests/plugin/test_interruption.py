"""Sessions that end early: no measurement is lost, and nothing is left on the machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.lock import host_lock
from tests.plugin.sessions import Begin

IS_ROOT = os.geteuid() == 0
SWAP = {"PYTEST_EDGE_SWAP": "256M"} if IS_ROOT else {}
LONG = ("--edge-policy=bulk", "--edge-rounds=40", "--edge-mem=512M", "--edge-json=out.json", "--edge-csv=out.csv")


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["to-all", "to-pytest"])
@pytest.mark.parametrize("distribution", [(), ("-n2",)], ids=["alone", "xdist"])
def test_ctrl_c_keeps_finished_measurements(
    begin: Begin, project: Path, distribution: tuple[str, ...], send: object
) -> None:
    """Ctrl-C during a run leaves every finished measurement in file and summary, and nothing on the machine."""
    running = begin(project, *LONG, *distribution, **SWAP)
    running.until(lambda: running.on_disk and running.workers)
    finished = len(running.on_disk)
    assert callable(send)
    send(running.pid, signal.SIGINT)
    ended = running.end()
    assert ended.status == pytest.ExitCode.INTERRUPTED, ended.said
    found = ended.measurements
    assert finished <= len(found) < finished + 10, "what was under way was finished, and nothing begun"
    assert [m.started for m in found] == [entry.measurement.started for entry in running.on_disk]
    assert {m.outcome for m in found} == {"ok"}, "a run that was cut short is no measurement"
    assert len((project / "out.csv").read_text().splitlines()) == 1 + len(found)
    ended.lines.fnmatch_lines(["*= edgeload =*", "bulk *", "*KeyboardInterrupt*"])
    assert running.leavings == []


def test_ctrl_c_ends_the_wait_for_another_session(begin: Begin, project: Path) -> None:
    """Ctrl-C ends the wait for another session's run at once, and the summary is empty."""
    with host_lock():
        running = begin(project, *LONG, **SWAP)
        running.until(lambda: running.is_open)
        os.killpg(running.pid, signal.SIGINT)
        ended = running.end()
    assert ended.status == pytest.ExitCode.INTERRUPTED, ended.said
    ended.lines.no_fnmatch_line("*= edgeload =*")
    assert running.leavings == []


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["to-all", "to-pytest"])
def test_ctrl_c_while_a_network_is_made_leaves_nothing(begin: Begin, project: Path, send: object) -> None:
    """Ctrl-C while a network is made leaves neither the maker process nor a part of the network."""
    running = begin(project, *LONG, PYTEST_EDGE_CACHE_DIR=str(project / "cache"))
    running.until(lambda: running.descendants("pytest_edgeload.exporting.maker"))
    running.until(lambda: list(project.glob("cache/networks/.making-*")))
    assert callable(send)
    send(running.pid, signal.SIGINT)
    ended = running.end()
    assert ended.status == pytest.ExitCode.INTERRUPTED, ended.said
    assert running.leavings == []
    assert list(project.glob("cache/networks/.making-*")) == []


def test_next_session_cleans_up_after_sigkill(begin: Begin, project: Path) -> None:
    """After SIGKILL, every finished measurement is on disk, and the next session removes the rest."""
    killed = begin(project, *LONG, **SWAP)
    killed.until(lambda: killed.on_disk and killed.workers)
    assert any(name.endswith(".swap") for name in killed.leavings) == IS_ROOT
    killed.kill()
    found = killed.on_disk
    assert {entry.measurement.outcome for entry in found} == {"ok"}
    ended = begin(project, "--edge-policy=bulk").end()
    assert ended.status == 0, ended.said
    removed = [line for line in ended.lines.lines if line.startswith(f"edgeload: removed edgeload-{killed.pid}-")]
    assert (
        sum(".swap, a leftover of a dead session" in line for line in removed) <= 1
    )  # another session may have been quicker
    assert killed.leavings == []
    assert killed.on_disk == found, "what was measured stays"


def test_groups_of_a_killed_throttled_session_are_removed(begin: Begin, project: Path, throttling: str) -> None:
    """After SIGKILL of a session that throttles reads, the next one removes all its groups and names each once."""
    killed = begin(project, *LONG, throttling)
    killed.until(lambda: killed.workers)
    assert killed.leavings
    killed.kill()
    ended = begin(project, "--edge-policy=bulk").end()
    assert ended.status == 0, ended.said
    assert ended.said.count(f"edgeload: removed edgeload-{killed.pid}-") <= 1  # another session may have been quicker
    assert killed.leavings == []
