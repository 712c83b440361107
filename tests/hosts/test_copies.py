"""Copies of projects on a host: claimed by one session at a time, and removed if they were used long ago."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pytest_edgeload.hosts import copies

CLAIM = f"from {copies.__name__} import claim; import sys; print(claim(sys.argv[1], sys.argv[2], 9)[0])"


def claimed_before(projects: Path, name: str, used_s: float) -> str:
    """Return the folder that a session which has ended claimed, at this time."""
    said = subprocess.check_output([sys.executable, "-c", CLAIM, str(projects), name], text=True)
    os.utime(projects / f".{name}.lock", (used_s, used_s))
    (projects / name / "folder").mkdir()
    return said.strip()


def test_copy_belongs_to_one_session_at_a_time(tmp_path: Path) -> None:
    """A second session gets a second copy. When the process of the first one has ended, its copy is free again."""
    first, second = str(tmp_path / "net"), str(tmp_path / "net.2")
    assert claimed_before(tmp_path, "net", 1) == first
    assert [copies.claim(str(tmp_path), "net", 9)[0] for _ in range(2)] == [first, second]


def test_copies_used_longest_ago_are_removed(tmp_path: Path) -> None:
    """The last ones stay, and those in use; a folder without a lock is the user's, and stays."""
    copies.claim(str(tmp_path), "in-use", 9)
    os.utime(tmp_path / ".in-use.lock", (0, 0))
    for used_s, name in enumerate(["old", "recent"], 1):
        claimed_before(tmp_path, name, used_s)
    (tmp_path / "of-the-user").mkdir()
    assert copies.claim(str(tmp_path), "new", 2) == (str(tmp_path / "new"), ["old"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".in-use.lock",
        ".new.lock",
        ".recent.lock",
        "in-use",
        "new",
        "of-the-user",
        "recent",
    ]
