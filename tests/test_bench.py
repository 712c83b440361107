"""A machine made ready, and left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.bench import Needs, prepared
from pytest_edgeload.errors import UsageError
from pytest_edgeload.home import Home
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.limits import Limits
from pytest_edgeload.sandbox.owner import PREFIX, tag
from pytest_edgeload.units import Limit


def _gone() -> str:
    """Return the tag of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return tag(process.pid)


def test_ready(tmp_path: Path) -> None:
    """A session gets the cap and the swap it asks for, and a folder of its own."""
    home = Home.new(tmp_path)
    with prepared(home, Needs("none", "off"), lambda _of_others: None) as (cap, swap):
        assert (cap, str(swap)) == ("none", "off")
        assert home.runs.is_dir()
        assert home.session.startswith(f"{os.getpid()}-")


def test_dead_sessions_are_cleaned_up(tmp_path: Path) -> None:
    """What a session left that is gone is removed and told; of folders of results the newest stay."""
    home, said = Home.new(tmp_path), list[str]()
    home.swaps.mkdir(parents=True)
    left = home.swaps / f"{PREFIX}{_gone()}.swap"
    left.touch()
    old = [home.folder.parent / f"2020010{day}T000000Z.{PREFIX}{_gone()}" for day in range(3)]
    for folder in old:
        folder.mkdir(parents=True)
    with prepared(home, Needs("none", "off"), said.append):
        assert not left.exists()
        assert all(folder.exists() for folder in old)
    assert f"edgeload: removed {left.name}, left by a session that is gone" in said


def test_only_so_many_folders_are_kept(tmp_path: Path) -> None:
    """Folders of sessions that are gone are kept up to twenty."""
    home, tag_of_it = Home.new(tmp_path), _gone()
    for day in range(10, 32):
        (home.folder.parent / f"202001{day}T000000Z.{PREFIX}{tag_of_it}").mkdir(parents=True)
    with prepared(home, Needs("none", "off"), lambda _line: None):
        kept = sorted(folder.name[:8] for folder in home.folder.parent.iterdir() if folder != home.folder)
    assert kept == [f"202001{day}" for day in range(12, 32)]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_groups_are_removed_however_it_ends(tmp_path: Path, error: type[BaseException]) -> None:
    """A group of the session that is still there when it breaks down or is interrupted is removed."""
    name = next(key for key, cap in CAPS.items() if cap.unavailable() is None)
    home = Home.new(tmp_path)
    mine = f"{PREFIX}{home.session}-test"

    def groups() -> list[str]:
        return [found for _, names, _ in os.walk("/sys/fs/cgroup") for found in names if found == mine]

    def broken() -> None:
        with prepared(home, Needs(name, "off"), lambda _line: None) as (cap, _):
            CAPS[cap].open(mine, Limits(Limit.parse("64M").size_bytes))
            assert bool(groups()) == CAPS[cap].enforces
            raise error

    with pytest.raises(error):
        broken()
    assert groups() == []


def test_refused_in_a_sentence(tmp_path: Path) -> None:
    """A cache that can be no folder is refused."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"Not a directory; name another folder by --edge-cache-dir$"),
        prepared(Home.new(tmp_path / "file"), Needs("none", "off"), pytest.fail),
    ):
        pytest.fail("was prepared")
