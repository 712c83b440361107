"""Predictions have the swap that a run with the same arguments gets."""

from __future__ import annotations

import pytest

from pytest_edgeload.cli.machine import swap_bytes
from pytest_edgeload.devices import known_devices
from pytest_edgeload.measuring.devices import overruled

BOARD = next(device for device in known_devices(None).values() if device.constraints.swap_bytes)


@pytest.mark.parametrize(("setting", "size_bytes"), [("off", 0), ("64M", 64 << 20), ("zram:32M", 32 << 20)])
def test_setting_counts_and_overrules_the_device(setting: str, size_bytes: int) -> None:
    """A size of either kind is its size."""
    assert swap_bytes(setting, None) == swap_bytes(setting, overruled(BOARD, ["swap_bytes"])) == size_bytes


def test_auto_is_always_some_swap() -> None:
    """A machine without swap would get a temporary file."""
    assert swap_bytes("auto", None) > 0


def test_device_sets_the_swap() -> None:
    """Without an argument, the device decides."""
    assert swap_bytes(None, BOARD) == BOARD.constraints.swap_bytes
