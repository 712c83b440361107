"""The kernel that other tests rely on."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.uml import kernel

pytestmark = pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or "")


@pytest.fixture(scope="module")
def squeezed() -> dict[str, Any]:
    """Tell what squeeze.py found, in one boot."""
    done = kernel.run([sys.executable, str(Path(__file__).with_name("squeeze.py"))])
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


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


def test_result(directory: Path) -> None:
    """The command's exit code, output, directory and environment are what a process on the host would have."""
    script = 'pwd; echo "$GREETING"; echo complaint >&2; cat; exit 7'
    done = kernel.run(["sh", "-c", script], environment={"GREETING": "it's  {me}\n"}, swap_bytes=0)
    assert done.returncode == 7
    assert done.stdout == f"{kernel.REPOSITORY}\nit's  {{me}}\n\n"
    assert done.stderr == "complaint\n"
    assert left(directory) == []


def test_signal() -> None:
    """Death by a signal is told as a shell tells it, and adds nothing to the command's output."""
    done = kernel.run(["sh", "-c", "kill -KILL $$"])
    assert (done.returncode, done.stdout, done.stderr) == (128 + 9, "", "")


def test_panic(directory: Path) -> None:
    """A kernel that panics raises with its console."""
    with pytest.raises(RuntimeError, match="Kernel panic - not syncing: sysrq triggered crash"):
        kernel.run(["sh", "-c", "echo c >/proc/sysrq-trigger"])
    assert left(directory) == []


def test_timeout(directory: Path) -> None:
    """A command that takes too long is killed with its kernel, leaving neither processes nor files."""
    with pytest.raises(TimeoutError, match="sleep 600"):
        kernel.run(["sh", "-c", "sleep 600"], timeout_s=3)
    assert left(directory) == []


def test_home() -> None:
    """HOME and TMPDIR are on a disk of the guest's own, which its unprivileged users can write to as well."""
    script = 'echo kept >"$TMPDIR/file"; cat "$HOME/file"; stat --file-system --format=%T "$TMPDIR"'
    done = kernel.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script])
    assert (done.returncode, done.stdout, done.stderr) == (0, "kept\next2/ext3\n", "")


def test_unified(squeezed: dict[str, Any]) -> None:
    """The guest has one cgroup hierarchy, v2 at /sys/fs/cgroup, with the memory controller, and starts at its root."""
    mounts = [line for line in squeezed["mounts"].splitlines() if " - cgroup" in line]
    assert len(mounts) == 1
    assert " / /sys/fs/cgroup " in mounts[0]
    assert " - cgroup2 " in mounts[0]
    assert squeezed["own"] == "0::/\n"
    assert "memory" in squeezed["controllers"]


def test_swap(squeezed: dict[str, Any]) -> None:
    """A process that touches 200 MB in a group of 64 MB is swapped out and in, and finishes."""
    touch = squeezed["max"]
    assert touch["returncode"] == 0, touch["stderr"]
    assert touch["oom_kills"] == 0
    assert touch["swapped_bytes"] > 100 << 20
    assert touch["pages_out"] * 4096 > 100 << 20
    assert touch["pages_in"] > 0
    assert touch["refaults"] > 0


def test_no_swap(squeezed: dict[str, Any]) -> None:
    """The same process in a group without swap is killed by the kernel, and nothing is swapped."""
    touch = squeezed["0"]
    assert touch["returncode"] == -9
    assert touch["oom_kills"] >= 1
    assert touch["pages_out"] == 0
