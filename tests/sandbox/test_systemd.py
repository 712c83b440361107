"""The cap `systemd` where there is no user manager; tests/uml has what it does where there is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.caps import CAPS, hierarchy

CAP = CAPS["systemd"]


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
