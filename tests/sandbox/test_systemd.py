"""The cap `systemd` without a user manager. tests/uml tests it with one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.caps import CAPS, hierarchy

CAP = CAPS["systemd"]


def test_missing_systemd_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without systemd's programs the cap says that they are missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(CAP.unavailable()) == "systemd-run is not installed; install systemd, or try another cap"


@pytest.mark.skipif(shutil.which("systemd-run") is None, reason="no systemd-run on this host (Debian package systemd)")
@pytest.mark.skipif(hierarchy.mount_of("cgroup2") is None, reason="no cgroup v2 hierarchy is mounted")
def test_missing_manager_has_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a user manager the cap names the user, and says how to start one."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    reason = str(CAP.unavailable())
    assert reason.startswith("no systemd user manager answers user ")
    assert "loginctl enable-linger" in reason
