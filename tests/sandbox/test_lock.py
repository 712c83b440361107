"""Measured runs take turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from pytest_edgeload.errors import Unsupported
from pytest_edgeload.sandbox.lock import host_lock

TAKE_TURNS = """
import os, sys
from pytest_edgeload.sandbox.lock import host_lock
for turn in range(50):
    with host_lock():
        os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL))  # fails if the other is inside
        os.unlink(sys.argv[1])
"""
HOLD = """
import sys
from pytest_edgeload.sandbox.lock import host_lock
with host_lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the lock stand in a folder of this test's own, here and in processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_turns(temporary: Path) -> None:
    """Two processes never hold the lock at once."""
    command = [sys.executable, "-c", TAKE_TURNS, str(temporary / "inside")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 0)] * 2


def test_holder_killed(temporary: Path) -> None:
    """Nobody gets the lock while it is held; when its holder is killed, the next one gets it."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Timeout):
            FileLock(temporary / f"edgeload-{os.getuid()}" / "run.lock").acquire(timeout=0.1)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with host_lock():
            pass


def test_private(temporary: Path) -> None:
    """The lock's folder is the user's alone."""
    with host_lock():
        (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert str(os.getuid()) in folder.name


def test_folder_elsewhere(temporary: Path) -> None:
    """A link that somebody put in the folder's place is refused, with the way out."""
    (temporary / "elsewhere").mkdir()
    (temporary / f"edgeload-{os.getuid()}").symlink_to("elsewhere")
    with pytest.raises(Unsupported, match="belongs to another user; remove it, or set TMPDIR"), host_lock():
        pass
    assert list((temporary / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_folder_of_another(temporary: Path) -> None:
    """A folder of that name that is another user's is refused, with the way out."""
    folder = temporary / f"edgeload-{os.getuid()}"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(Unsupported, match="belongs to another user; remove it, or set TMPDIR"), host_lock():
        pass
    assert list(folder.iterdir()) == []
