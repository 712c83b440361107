"""The page on devices: its table is that of the file."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices import KEYS, Device, known_devices

PAGE = (Path(__file__).parents[2] / "docs/devices.md").read_text(encoding="utf-8")


def _row(device: Device) -> str:
    read, write = (f"{format_size(rate)}/s" if rate else "" for rate in (device.read_bps, device.write_bps))
    swap = "" if device.swap is None else format_size(device.swap)
    cells = (f"`{device.name}`", device.memory, device.cores, read, write, swap, device.note)
    return f"| {' | '.join(map(str, cells))} |"


def test_table() -> None:
    """The page has each shipped device as the file has it, in its order, and every key."""
    rows = re.findall(r"^\| `[a-z0-9-]+` \| .*$", PAGE.partition("## Shipped devices")[2], re.MULTILINE)
    assert rows == [_row(device) for device in known_devices(None).values()]
    assert [key for key in (*KEYS, "extends") if f"`{key} = " not in PAGE] == []
