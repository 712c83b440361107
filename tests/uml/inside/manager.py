"""Tests that need a systemd user manager. They run in the guest, where pytest gets this file."""

from __future__ import annotations

from pathlib import Path

from pytest_edgeload.sandbox.caps import hierarchy, systemd
from pytest_edgeload.sandbox.doctor import examine


def test_missing_controller_is_named() -> None:
    """A controller that the manager does not have is named, with the file that adds it."""
    reason = str(hierarchy.obstacle(systemd._check, "memory", "tea"))
    assert reason.startswith("systemd gives its user manager no tea controller; have root write ")
    assert "user@.service.d/delegate.conf" in reason


def test_doctor_finds_memory_and_io(tmp_path: Path) -> None:
    """The doctor finds the limits of a user with memory and io, but without processor time."""
    found = {row.what: row.ok for row in examine(tmp_path)}
    yes = {"cap cgroup2", "cap systemd", "memory controller", "cap auto", "io controller"}
    assert {what for what in yes | {"reads can be throttled", "cold page cache"} if not found[what]} == set()
    no = {"cpu controller", "cpuset controller", "cap cgroup1", "swap can be created", "root"}
    assert {what for what in no if found[what]} == set()
