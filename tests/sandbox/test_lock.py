"""Measured runs take turns."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.locks import hold, holder
from pytest_edgeload.sandbox.lock import host_lock, shared_turn
from pytest_edgeload.sandbox.sharing import SAME_FILES, MachinePart, SharedMachine
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
    assert until(lambda: told.read_text().startswith("b"))
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


SIT = """
import sys
from pytest_edgeload.sandbox.lock import shared_turn
from pytest_edgeload.sandbox.sharing import MachinePart, SharedMachine
with shared_turn(MachinePart(1, files=frozenset(sys.argv[1])), SharedMachine(2, 0, (0, 1))) as seat:
    print(*seat.cores, flush=True)
    sys.stdin.read()
"""


def sit(folder: Path, files: str = "a") -> subprocess.Popen[str]:
    """Start a process that holds a core until its input ends."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", SIT, files], stdin=pipe, stdout=pipe, text=True, cwd=folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    return process


def test_shared_turns_overlap_on_different_cores(temporary: Path) -> None:
    """Two runs that fit hold a core each at the same time, and each counts the other as its neighbour."""
    began = time.time()
    with sit(temporary) as neighbour, shared_turn(MachinePart(1), SharedMachine(2, 0, (0, 1))) as seat:
        assert seat.cores == (1,)
        assert (seat.neighbours(), seat.neighbours(since=began), seat.neighbours(since=time.time())) == (1, 0, 1)
        neighbour.communicate()
        assert seat.neighbours() == 0


def test_run_that_does_not_fit_waits_for_the_other(temporary: Path) -> None:
    """A run that would read the same files waits for its neighbour, says why, and notes the reason."""
    said: list[str] = []
    with sit(temporary, "ab") as neighbour:

        def tell(line: str) -> None:
            said.append(line)
            neighbour.communicate()

        with shared_turn(MachinePart(1, files=frozenset("b")), SharedMachine(2, 0, (0, 1)), tell, quiet_s=0.1) as seat:
            assert (seat.cores, seat.reason) == ((0,), SAME_FILES)
            assert seat.waited_s > 0.1
    assert said == [f"edgeload: waits for process {neighbour.pid} in {temporary}, because {SAME_FILES}"]


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_lone_run_waits_for_all_that_overlap(temporary: Path, end: signal.Signals | None) -> None:
    """A run that takes turns waits until no run holds a core; the kernel frees those of a process that was killed."""
    with sit(temporary) as neighbour:

        def tell(line: str) -> None:
            assert f"process {neighbour.pid} in {temporary}" in line
            if end is None:
                neighbour.communicate()
            else:
                neighbour.send_signal(end)

        with host_lock(tell) as waited_s:
            assert waited_s > 1.0
            assert end is None or neighbour.wait() == -end
    with shared_turn(
        MachinePart(2), SharedMachine(2, 0, (0,)), pytest.fail
    ) as seat:  # although its note is still there
        assert seat.cores == (0,)


def test_run_next_to_one_without_a_note_waits(temporary: Path) -> None:
    """A core that is held without a readable note counts as all of the memory."""
    folder = temporary / f"edgeload-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (folder / "core-0.json").write_text("{")
    lock = FileLock(folder / "core-0.lock")
    with (
        lock,
        shared_turn(MachinePart(1), SharedMachine(2, 0, (0, 1)), lambda _line: lock.release(), quiet_s=0.0) as seat,
    ):
        assert seat.waited_s > 0


def test_questions_about_a_core_do_not_see_each_other(temporary: Path) -> None:
    """A process that asks who holds a core is not taken for its holder, and a changed folder loses no run."""
    with shared_turn(MachinePart(1), SharedMachine(2, 0, (0, 1))) as seat:
        core = temporary / f"edgeload-{os.getuid()}" / "core-1.lock"
        with core.open("w") as asking:
            fcntl.flock(asking, fcntl.LOCK_SH)
            assert seat.neighbours() == 0
        core.unlink()
        core.symlink_to("nowhere")
        assert seat.neighbours() == 0


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
