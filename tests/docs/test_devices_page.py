"""The page on devices: its table equals the file of devices."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices import KEYS, Device, known_devices

PAGE = (Path(__file__).parents[2] / "docs/devices.md").read_text(encoding="utf-8")


def _row(device: Device) -> str:
    held = device.constraints
    read, write = (f"{format_size(rate)}/s" if rate else "" for rate in (held.read_bps, held.write_bps))
    cells = (f"`{device.name}`", device.memory, held.cores, read, write, device.swap or "", device.note)
    return f"| {' | '.join(map(str, cells))} |"


def test_page_lists_every_device_and_key() -> None:
    """The page lists the shipped devices with the values and in the order of the file, and every key."""
    rows = re.findall(r"^\| `[a-z0-9-]+` \| .*$", PAGE.partition("## Shipped devices")[2], re.MULTILINE)
    assert rows == [_row(device) for device in known_devices(None).values()]
    assert [key for key in (*KEYS, "extends") if f"`{key} = " not in PAGE] == []
