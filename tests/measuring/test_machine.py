"""The machine is prepared for a session, and restored afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.directories import SessionDirectories, number_of
from pytest_edgeload.measuring.machine import prepared
from pytest_edgeload.results import journal
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.owner import PREFIX, tag

CASE = Case(
    test="test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="none",
    swap="off",
    constraints=Constraints(threads=2),
)


def _dead_tag() -> str:
    """Return the tag of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return tag(process.pid)


def test_session_gets_its_swap_and_folder(tmp_path: Path) -> None:
    """A session gets the swap that it asks for, and a folder of its own."""
    directories = SessionDirectories.new(tmp_path)
    with prepared(directories, "off", lambda _of_others: None) as swap:
        assert str(swap) == "off"
        assert directories.runs.is_dir()
        assert directories.session.startswith(f"{os.getpid()}-")


def test_leftovers_of_dead_sessions_are_removed(tmp_path: Path) -> None:
    """Leftovers of a dead session are removed, with a line; the newest folders of results stay."""
    directories, said = SessionDirectories.new(tmp_path), list[str]()
    directories.swaps.mkdir(parents=True)
    left = directories.swaps / f"{PREFIX}{_dead_tag()}.swap"
    left.touch()
    old = [directories.folder.parent / f"{number}.{PREFIX}{_dead_tag()}" for number in range(3)]
    for folder in old:
        folder.mkdir(parents=True)
    with prepared(directories, "off", said.append):
        assert not left.exists()
        assert all(folder.exists() for folder in old)
    assert f"edgeload: removed {left.name}, a leftover of a dead session" in said


def test_twenty_folders_of_dead_sessions_are_kept(tmp_path: Path) -> None:
    """Twenty folders of dead sessions are kept, and the one whose results this session reports."""
    directories, tag_of_it, said = SessionDirectories.new(tmp_path), _dead_tag(), list[str]()
    for number in [7, *range(90, 112)]:
        (directories.folder.parent / f"{number}.{PREFIX}{tag_of_it}").mkdir(parents=True)
    killed = SessionDirectories.of(directories.folder.parent / f"7.{PREFIX}{tag_of_it}")
    killed.unreported_marker.touch()
    killed.runs.mkdir()
    (killed.runs / "1.json").touch()
    with prepared(directories, "off", said.append):
        kept = sorted(
            number_of(folder) for folder in directories.folder.parent.iterdir() if folder != directories.folder
        )
    assert kept == [7, *range(92, 112)]
    assert f"not report its 1 run; see: edgeload report {killed.folder}" in said[0]
    assert number_of(SessionDirectories.new(tmp_path).folder) == 112


def test_links_and_folders_of_other_users_are_not_followed(tmp_path: Path) -> None:
    """A link or another user's folder with the name of a dead session leads to no removal elsewhere."""
    directories, tag_of_it = SessionDirectories.new(tmp_path), _dead_tag()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    directories.folder.parent.mkdir()
    planted = [directories.folder.parent / f"202001{day}T000000Z.{PREFIX}{tag_of_it}" for day in range(10, 34)]
    planted[0].symlink_to(precious)
    for folder in planted[1:]:
        folder.mkdir()
    (planted[2] / "file").touch()
    if os.geteuid() == 0:
        os.chown(planted[2], 65534, 65534)
    with prepared(directories, "off", lambda _line: None):
        assert (precious / "file").exists()
        assert not planted[1].exists()
        assert (planted[2] / "file").exists() == (os.geteuid() == 0)


def test_other_users_cannot_write_to_the_cache(tmp_path: Path) -> None:
    """Other users cannot write to the files of a session in the cache under any umask."""
    directories, was = SessionDirectories.new(tmp_path / "made" / "cache"), os.umask(0)
    try:
        with prepared(directories, "off", lambda _line: None):
            directories.write(directories.unreported_marker, b"")
            journal.write(journal.place(directories.runs, Entry(CASE, Measurement(outcome="ok", started=1.0), "")))
            made = [tmp_path / "made", *(tmp_path / "made").rglob("*")]
    finally:
        os.umask(was)
    assert {directories.runs, directories.unreported_marker} < {*made}
    assert len([path for path in made if path.parent == directories.runs]) == 1
    assert [path for path in made if path.stat().st_mode & 0o022] == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_groups_are_removed_after_errors_and_interrupts(tmp_path: Path, error: type[BaseException]) -> None:
    """A group that still exists when the session fails or is interrupted is removed."""
    name = next(key for key, cap in CAPS.items() if cap.unavailable() is None)
    directories = SessionDirectories.new(tmp_path)
    mine = f"{PREFIX}{directories.session}-test"

    def groups() -> list[str]:
        return [found for _, names, _ in os.walk("/sys/fs/cgroup") for found in names if found == mine]

    def broken() -> None:
        with prepared(directories, "off", lambda _line: None):
            CAPS[name].open(mine, Limits(Constraints(64 << 20)))
            assert bool(groups()) == CAPS[name].enforces
            raise error

    with pytest.raises(error):
        broken()
    assert groups() == []


def test_cache_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    """A path that cannot be the cache folder is an error."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"Not a directory; name another folder with cache-dir$"),
        prepared(SessionDirectories.new(tmp_path / "file"), "off", pytest.fail),
    ):
        pytest.fail("was prepared")
