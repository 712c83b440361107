"""The remaining time on the terminal of a session."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.plugin.sessions import NO_OTHERS

PROGRAMS = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_program(edge, number):
    assert edge.command(["true"], memory=None).outcome == "ok"
"""


def _on_a_terminal(folder: Path, *args: str) -> str:
    """Return what a pytest session in `folder` writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "PY_COLORS", "NO_COLOR"}}
    session = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "edgeload", "-p", "no:cacheprovider", *args],
        cwd=folder,
        env=kept | {"COLUMNS": "100", "TERM": "xterm", "PYTEST_EDGE_CACHE_DIR": str(folder / "cache")} | NO_OTHERS,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 1 << 16):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
        session.wait()
    return b"".join(parts).decode()


def test_terminal_shows_the_remaining_time_and_keeps_the_dots(tmp_path: Path) -> None:
    """The time is behind the cursor while a test runs, and pytest's own line is as it is without it."""
    (tmp_path / "test_programs.py").write_text(PROGRAMS)
    output = _on_a_terminal(tmp_path)
    shown = re.findall("\0337  (.*?)\0338", output)
    assert [re.sub(r"about \d+ s", "about N s", text) for text in shown] == [
        "test 2 of 3, about N s left",
        "test 3 of 3, about N s left",
    ]
    plain = re.sub("\0337.*?\0338|\033\\[[0-9;]*[A-Za-z]", "", output)
    assert re.search(r"^test_programs.py \.\.\. +\[100%\]\r?$", plain, re.MULTILINE), plain
