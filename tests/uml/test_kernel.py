"""The kernel that other tests rely on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil
import pytest

from tests.uml import kernel

pytestmark = pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or "")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the kernel put its temporary files here during this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(directory: Path) -> list[object]:
    """List the files in the directory and the live processes that were started with it."""
    processes = [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(directory) in " ".join(process.info["cmdline"] or ())
    ]
    return [*directory.iterdir(), *processes]


def test_command_runs_as_on_the_host(directory: Path) -> None:
    """The command's exit code, output, directory and environment are those of a process on the host."""
    script = 'pwd; echo "$GREETING"; echo complaint >&2; cat; exit 7'
    done = kernel.run(["sh", "-c", script], environment={"GREETING": "it's  {me}\n"}, swap_bytes=0)
    assert done.returncode == 7
    assert done.stdout == f"{kernel.REPOSITORY}\nit's  {{me}}\n\n"
    assert done.stderr == "complaint\n"
    assert left(directory) == []


AS_USER = "setpriv --reuid=65534 --regid=65534 --clear-groups"


def test_guest_has_its_own_disk_and_reports_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME and TMPDIR are on a disk of the guest's own, which its unprivileged users can write to as well.

    Death by a signal is told as a shell tells it, and adds nothing to the command's output.
    """
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # through which every user may pass
    written = f"""{AS_USER} sh -c 'echo kept >"$TMPDIR/file"'; cat "$HOME/file"; stat -f --format=%T "$TMPDIR" """
    done = kernel.run(["sh", "-c", f"{written}; kill -KILL $$"])
    assert (done.returncode, done.stdout, done.stderr) == (128 + 9, "kept\next2/ext3\n", "")


def test_panic_raises_with_the_console(directory: Path) -> None:
    """A kernel that panics raises with its console."""
    with pytest.raises(RuntimeError, match="Kernel panic - not syncing: sysrq triggered crash"):
        kernel.run(["sh", "-c", "echo c >/proc/sysrq-trigger"])
    assert left(directory) == []


def test_slow_command_is_killed_with_its_kernel(directory: Path) -> None:
    """A command that takes too long is killed with its kernel, leaving neither processes nor files."""
    with pytest.raises(TimeoutError, match="sleep 600"):
        kernel.run(["sh", "-c", "sleep 600"], timeout_s=3)
    assert left(directory) == []
