"""What this machine can enforce and measure, found by trying it; whatever is made for that is removed again."""

from __future__ import annotations

from pathlib import Path

from pytest_edgeload.sandbox.doctor import caps, machine, storage, workers
from pytest_edgeload.sandbox.doctor.row import Row, Weight

__all__ = ["Row", "Weight", "examine"]


def examine(cache: Path) -> list[Row]:
    """Return what is found of this machine, with networks and swap kept in `cache`, which need not be there yet."""
    return [
        *caps.rows(),
        *storage.rows(cache),
        *machine.rights(),
        *workers.rows(),
        *machine.clock(),
        *machine.processors(),
        *machine.software(),
    ]
