"""The cap `systemd` beside what all caps promise; where this machine has no user manager, see also tests/uml."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.caps import CAPS, hierarchy, systemd
from tests.sandbox import witness

CAP = CAPS["systemd"]
LACKING = CAP.unavailable() or ""
here = pytest.mark.skipif(bool(LACKING), reason=LACKING)

# A session with a worker under its limit; it says the worker's id, and is then killed.
SESSION = """
import os, subprocess, time
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.limits import Limits
from pytest_edgeload.sandbox.owner import PREFIX, tag
name = f"{PREFIX}{tag(os.getpid())}-0"
group = CAPS["systemd"].open(name, Limits(64 << 20))
subprocess.run([*group.enter, "sh", "-c", f"echo {name} $$ && exec sleep 600"])
"""


def test_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without systemd's programs the cap says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert CAP.unavailable() == "systemd-run is not installed; install systemd, or try another cap"


@pytest.mark.skipif(shutil.which("systemd-run") is None, reason="no systemd-run on this host (Debian package systemd)")
@pytest.mark.skipif(hierarchy.mount_of("cgroup2") is None, reason="no cgroup v2 hierarchy is mounted")
def test_no_manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a user manager the cap says whose, and how to have one."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    reason = CAP.unavailable()
    assert reason is not None
    assert reason.startswith("no systemd user manager answers user ")
    assert "loginctl enable-linger" in reason


@here
def test_no_controller() -> None:
    """A controller that the manager was not given is named, with the file that would give it."""
    reason = hierarchy.refusal(systemd._check, "memory", "tea")
    assert reason is not None
    assert reason.startswith("systemd gives its user manager no tea controller; have root put ")
    assert "user@.service.d/delegate.conf" in reason


@here
def test_killed_session() -> None:
    """What a session leaves that was killed is swept by the next, worker and scope."""
    with subprocess.Popen([sys.executable, "-c", SESSION], stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None  # it is a pipe
        name, worker = session.stdout.readline().split()
        session.send_signal(signal.SIGKILL)
    assert witness.groups(name)
    assert name in CAP.sweep(None)
    assert witness.until(lambda: not witness.alive(int(worker)))
    assert witness.until(lambda: witness.groups(name) == [])
