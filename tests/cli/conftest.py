"""The project, its networks made once, and what runs the command there."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND, OWN, Done, Run, run_in
from tests.plugin.sessions import write


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project of two small networks."""
    return write(tmp_path_factory.mktemp("source"), conftest=OWN)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the networks will be kept."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def making(source: Path, cache: Path) -> str:
    """Make both networks by the command, and return what it shows on a terminal meanwhile."""
    ours, its = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        arguments = [*COMMAND, "plan", "small,wide", f"--cache-dir={cache}"]
        made = subprocess.run(arguments, cwd=source, stdout=subprocess.DEVNULL, stderr=its, check=False)
        shown = os.read(terminal.fileno(), 1 << 16).decode()
        os.close(its)
    assert made.returncode == 0, shown
    return shown


@pytest.fixture(scope="session")
def run(making: str, cache: Path, source: Path) -> Run:
    """Return what runs the command in the project, or another folder, with the networks made."""

    def start(*arguments: str, folder: Path = source) -> Done:
        return run_in(folder, *arguments, cache=cache)

    return start
