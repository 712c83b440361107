"""Measured runs take turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.locks import hold, holder
from pytest_edgeload.sandbox.lock import host_lock
from tests.sandbox.witness import until

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
    """Move the lock to a folder of this test, here and in processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_two_processes_never_hold_the_lock(temporary: Path) -> None:
    """Two processes never hold the lock at once."""
    command = [sys.executable, "-c", TAKE_TURNS, str(temporary / "inside")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 0)] * 2


def test_lock_is_free_when_its_holder_dies(temporary: Path) -> None:
    """No other process gets the lock while it is held; when its holder is killed, the next one gets it."""
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


def test_folder_is_private(temporary: Path) -> None:
    """The lock's folder is the user's alone."""
    with host_lock():
        (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert str(os.getuid()) in folder.name


TURNS = """
import sys, time
from pathlib import Path
from pytest_edgeload.sandbox.lock import host_lock
told, name, turns = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for turn in range(turns):
    with host_lock():
        with told.open("a") as file:
            file.write(name)
        time.sleep(0.2)
"""


def test_waiting_process_is_next(temporary: Path) -> None:
    """Of two processes that take many turns, neither has all of its own first."""
    told = temporary / "told"
    told.touch()
    busy = subprocess.Popen([sys.executable, "-c", TURNS, str(told), "b", "1000000"])
    assert until(lambda: told.read_text() == "b")
    try:
        subprocess.run([sys.executable, "-c", TURNS, str(told), "w", "6"], check=True, timeout=60)
    finally:
        busy.kill()
        busy.wait()
    turns = told.read_text()
    contended = turns[turns.index("w") : turns.rindex("w")]
    assert contended.count("w") == 5
    assert contended.count("b") >= 3, turns


def test_waiting_is_announced_once(temporary: Path) -> None:
    """A process that waits for more than a second says so once, with the holder and its folder; others say nothing."""
    said: list[str] = []
    with host_lock(said.append):
        assert said == []
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, text=True, cwd=temporary) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        def tell(line: str) -> None:
            said.append(line)
            assert holder.stdin is not None
            holder.stdin.close()  # it ends

        with host_lock(tell):
            pass
    words = f"edgeload: waits for process {holder.pid} in {temporary}, because measured runs on one host take turns"
    assert said == [words]


def test_holder_is_of_this_file(temporary: Path) -> None:
    """The holder is that of this very file, not of a file with the same number in another file system."""
    file = temporary / "it.lock"
    with hold(file):
        assert holder(file) == f"process {os.getpid()} in {Path.cwd()}"
        inode = file.stat().st_ino
        assert f":{inode} " in Path("/proc/locks").read_text()
    file.touch()
    assert holder(file) == "another process"


@pytest.mark.parametrize("name", ["run.lock", "queue.lock"])
def test_old_lock_file_is_not_a_lock(temporary: Path, name: str) -> None:
    """A lock file that was left, with any content, is not a lock."""
    folder = temporary / f"edgeload-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (folder / name).write_text("4711\n")
    with host_lock(pytest.fail):
        pass


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_folder_of_shared_mode_is_refused(temporary: Path, mode: int) -> None:
    """A folder that others may write to is refused, because they could put links there."""
    folder = temporary / f"edgeload-{os.getuid()}"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(Unsupported, match="other users can write to it; remove it, or set TMPDIR"), host_lock():
        pass
    assert list(folder.iterdir()) == []


def _link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, _link_to_nowhere])
def test_file_instead_of_the_folder_is_refused(temporary: Path, make: Callable[[Path], object]) -> None:
    """A file, a FIFO, or a link to nothing instead of the folder is refused."""
    make(temporary / f"edgeload-{os.getuid()}")
    with pytest.raises(Unsupported, match="not a folder of this user; remove it, or set TMPDIR"), host_lock():
        pass
    assert not (temporary / "nowhere").exists()


def test_folder_instead_of_the_lock_is_refused(temporary: Path) -> None:
    """A folder instead of the lock is refused in a sentence."""
    (temporary / f"edgeload-{os.getuid()}").mkdir(mode=0o700)
    (temporary / f"edgeload-{os.getuid()}" / "run.lock").mkdir()
    with pytest.raises(Unsupported, match="Is a directory; repair it, or set TMPDIR"), host_lock():
        pass


def test_link_instead_of_the_folder_is_refused(temporary: Path) -> None:
    """A link instead of the folder is refused, with a hint."""
    (temporary / "elsewhere").mkdir()
    (temporary / f"edgeload-{os.getuid()}").symlink_to("elsewhere")
    with pytest.raises(Unsupported, match="not a folder of this user; remove it, or set TMPDIR"), host_lock():
        pass
    assert list((temporary / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_folder_of_another_user_is_refused(temporary: Path) -> None:
    """A folder of that name that belongs to another user is refused, with a hint."""
    folder = temporary / f"edgeload-{os.getuid()}"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(Unsupported, match="not a folder of this user; remove it, or set TMPDIR"), host_lock():
        pass
    assert list(folder.iterdir()) == []
