"""`edgeload cache`: the table of stored networks, and the removal of old ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytest_edgeload.cli import main
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.networks.store import Store
from pytest_edgeload.report.stored import age


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache with two networks; `old` was used in 1970."""
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(tmp_path))
    for key in ("old", "new"):
        with Store(tmp_path).making(key) as folder:
            (folder / "graph.json").write_text(f'{{"name": "{key}"}}')
            (folder / "weights.safetensors").write_bytes(bytes(65536))
            Store(tmp_path).keep(key, folder, f"digest{key}")
    os.utime(tmp_path / "recipes" / "old", (0, 0))
    return tmp_path


def test_the_table_shows_sizes_and_last_uses(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Networks are listed with the last used first, then their number, the folder and the sum."""
    assert main(["cache"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert re.fullmatch(r"new +68K +just now", lines[2])
    assert re.fullmatch(r"old +68K +\d{5} days ago", lines[3])
    assert re.fullmatch(rf"2 in {re.escape(str(cache))} +136K", lines[4])


@pytest.mark.parametrize("option", ["--prune-unused=30d", "--prune-to=100K"])
def test_old_networks_are_removed(cache: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    """By age and by size the old network goes, the new one stays, and the command says so."""
    assert main(["cache", option]) == 0
    assert capsys.readouterr().out == f"removed 1 network (68K); 1 network (68K) left in {cache}\n"
    assert [path.name for path in (cache / "networks").iterdir()] == ["digestnew"]


def test_an_empty_cache_says_so(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After all networks are removed there is one sentence instead of a table."""
    assert main(["cache", "--prune-to=0"]) == 0
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.endswith(f"no networks in {cache}\n")


def test_nothing_is_removed_while_a_session_runs(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A session that runs may read any network; the command names its folder."""
    directories = SessionDirectories.new(cache)
    directories.make(directories.folder)
    assert main(["cache", "--prune-to=0"]) == 2
    reason = "this session still runs, and may read what would be removed; prune when it has ended"
    assert capsys.readouterr().err == f"edgeload: {directories.folder}: {reason}\n"
    assert len([*(cache / "networks").iterdir()]) == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-5, "just now"),
        (59.9, "just now"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (1e6, "11 days ago"),
    ],
)
def test_ages_have_one_unit(seconds: float, words: str) -> None:
    """An age is a whole number of the largest unit that fits."""
    assert age(seconds) == words
