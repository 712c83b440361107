"""What only whoever has a systemd user manager sees; in the guest, where pytest is told this file."""

from __future__ import annotations

from pathlib import Path

from pytest_edgeload.sandbox.caps import hierarchy, systemd
from pytest_edgeload.sandbox.doctor import examine


def test_no_controller() -> None:
    """A controller that the manager was not given is named, with the file that would give it."""
    reason = str(hierarchy.obstacle(systemd._check, "memory", "tea"))
    assert reason.startswith("systemd gives its user manager no tea controller; have root write ")
    assert "user@.service.d/delegate.conf" in reason


def test_doctor(tmp_path: Path) -> None:
    """The doctor finds what a user can do to whom memory and io were given, but no processor time."""
    found = {row.what: row.ok for row in examine(tmp_path)}
    yes = {"cap cgroup2", "cap systemd", "memory controller", "cap auto", "io controller"}
    assert {what for what in yes | {"reads can be throttled", "cold page cache"} if not found[what]} == set()
    no = {"cpu controller", "cpuset controller", "cap cgroup1", "swap can be created", "root"}
    assert {what for what in no if found[what]} == set()
