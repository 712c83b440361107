"""Checks of the limits and metrics of this machine. Each check tries one and removes everything it created."""

from __future__ import annotations

from pathlib import Path

from pytest_edgeload.sandbox.doctor import caps, machine, sensors, storage, workers
from pytest_edgeload.sandbox.doctor.check import Check, Weight

__all__ = ["Check", "Weight", "examine"]


def examine(cache: Path) -> list[Check]:
    """Return all checks of this machine. `cache` is the folder for networks and swap files; it need not exist."""
    return [
        *caps.checks(),
        *sensors.checks(),
        *storage.checks(cache),
        *machine.rights(),
        *workers.checks(),
        *machine.clock(),
        *machine.processors(),
        *machine.software(),
    ]
