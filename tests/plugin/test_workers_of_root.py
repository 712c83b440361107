"""A session of root: its workers run as another user, whom its header and its records name."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from pytest_edgeload.results.record import Record
from tests.plugin.sessions import Begin, Ended, write

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")

TEST = """\
import os

def whom():
    return os.getuid()

def test_networks(edge, edge_policy, edge_mem, edge_reader):
    measured = edge.run(["small"], policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measured.outcome == "ok", measured.detail

def test_function(edge):
    assert edge.call(whom).returned != 0

def test_program(edge):
    measured = edge.command(["touch", "made"])
    assert measured.outcome == "ok", measured.detail
"""
OPTIONS = ("--edge-policy=linear,stream", "--edge-reader=read,mmap,direct", "--edge-mem=1G", "--edge-json=out.json")


@pytest.fixture(scope="module")
def ended(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Run a session in a project whose weights and folder only root can read."""
    project = write(tmp_path_factory.mktemp("project"), test_tiny=TEST)
    project.chmod(0o700)
    env = dict.fromkeys(("SUDO_UID", "PYTEST_EDGE_USER"), "")
    return begin(project, *OPTIONS, **env).end()


@as_root
def test_networks_run_as_nobody(ended: Ended) -> None:
    """Networks run as nobody with every reader, although root owns the weights, and free their memory."""
    found = [record for record in ended.records if record.case.workload != "program"]
    assert [*map(_coordinates, found)] == [*itertools.product(("read", "mmap", "direct"), ("linear", "stream"))]
    assert [m.outcome for record in found for m in record.rounds] == ["ok"] * 6, ended.said
    assert not any("O_DIRECT" in notice for record in found for m in record.rounds for notice in m.notices)


def _coordinates(record: Record) -> tuple[str, str]:
    return record.case.reader, record.case.policy


@as_root
def test_user_is_shown_and_recorded(ended: Ended) -> None:
    """The header and the records name the user; a failure because of the user has a hint."""
    ended.lines.fnmatch_lines(["edgeload: memory 1G *, rounds 1, workers as nobody, seed *"])
    assert ended.settings["user"] == "nobody"
    assert ended.status == 1
    ended.lines.fnmatch_lines(
        ["*Permission denied (the worker ran as user nobody; the user `same` keeps the rights of root)"]
    )
    assert sorted(ended.running.leavings) == []
    assert not (ended.running.folder / "made").exists()


@as_root
def test_same_keeps_the_rights_of_root(begin: Begin, tmp_path: Path) -> None:
    """`same` keeps the rights of root, as the header and the records say; an ini file may set it."""
    project = write(tmp_path, test_tiny=TEST)
    (project / "pytest.ini").write_text("[pytest]\nedge_user = same\n")
    ended = begin(project, "-k", "program or function", "--edge-json=out.json").end()
    ended.lines.fnmatch_lines(["edgeload: *, workers as root, seed *", "*1 failed, 1 passed*"])
    assert ended.settings["user"] == "root"
    assert (project / "made").stat().st_uid == 0


@as_root
def test_missing_setpriv_is_shown(begin: Begin, tmp_path: Path) -> None:
    """If rights cannot be given up, the session goes on as root; header, tables and records say so.

    The header also names the instruments that the runs do not inherit.
    """
    project = write(tmp_path, test_tiny="import os\n\ndef test_it(edge):\n    edge.call(os.getuid)\n")
    ended = begin(project, "--edge-json=out.json", PATH="/nowhere", PYTEST_EDGE_USER="", MALLOC_ARENA_MAX="2").end()
    reason = "workers had the rights of root, not those of nobody: setpriv is not installed; install setpriv"
    ended.lines.fnmatch_lines(
        ["edgeload: *, workers as root, runs without *MALLOC_ARENA_MAX*, seed *", f"*{reason}*", "*1 passed*"]
    )
    [measured] = ended.measurements
    assert (measured.returned, ended.settings["user"]) == (0, "root")
    assert measured.notices[0].startswith(reason)


def test_unknown_user_is_refused(begin: Begin, project: Path) -> None:
    """An unknown user is refused with a hint before anything is measured."""
    ended = begin(project, "--edge-user=no-such-user").end()
    assert ended.status == 4
    ended.lines.fnmatch_lines(["ERROR: --edge-user=no-such-user: this user does not exist; try nobody or same"])
