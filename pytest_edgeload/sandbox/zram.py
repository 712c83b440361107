"""Swap in compressed memory: a zram device of a session's own.

Source: the kernel's documentation of zram. A device is added and removed through /sys/class/zram-control. A file for
each of our devices says whose it is, so that the next session can remove those of a session that was killed.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Setting, Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.sandbox.owner import is_abandoned, is_own
from pytest_edgeload.sandbox.swap_area import active, reason_of, switch_off, switch_on

_CONTROL = Path("/sys/class/zram-control")
_OWNERS = Path("/run/edgeload")
"""Files with the name of a device each, which contain its owner's name. A restart of the machine empties /run."""

_PRIORITY = "100"  # before all files and partitions, which have negative ones unless their owner says otherwise


def make(size: int, owner: str) -> Path:
    """Add a device of `size` bytes for the session with the name `owner`, and let the machine swap to it first.

    Return its path. Raises Unsupported.
    """
    device: Path | None = None
    try:
        _OWNERS.mkdir(mode=0o755, exist_ok=True)
        device = Path("/dev") / f"zram{kernel_text.read(_CONTROL / 'hot_add').strip()}"
        (_OWNERS / device.name).write_text(owner)
        Path("/sys/block", device.name, "disksize").write_text(str(size))
        switch_on(device, "--priority", _PRIORITY)
    except (OSError, subprocess.CalledProcessError) as error:
        if device is not None:
            with suppress(OSError, subprocess.CalledProcessError):
                remove(device)
        reason = f"no compressed memory of {format_size(size)} can be swapped to: {reason_of(error)}"
        hint = ("load the kernel's module zram, or try a file with ", Setting("swap", format_size(size)))
        raise Unsupported(Setting("swap"), reason, hint) from error
    return device


def kind_of(area: Path) -> str:
    """Return the kind of a swap area: `zram`, or `file`, also for a partition."""
    return "zram" if area.name.startswith("zram") else "file"


def remove(device: Path) -> None:
    """Switch swapping to one of our devices off, and remove it. Raises OSError or CalledProcessError."""
    if any(area == device for area, _ in active()):
        switch_off(device)
    with suppress(FileNotFoundError):  # without it, there is no device
        (_CONTROL / "hot_remove").write_text(device.name.removeprefix("zram"))
    (_OWNERS / device.name).unlink(missing_ok=True)


def devices() -> dict[Path, str]:
    """Return all devices of sessions, also of dead ones, with their owners' names."""
    found = {}
    for note in sorted(_OWNERS.glob("zram*")):
        with suppress(OSError):
            if is_own(note):
                found[Path("/dev") / note.name] = kernel_text.read(note)
    return found


def sweep() -> list[str]:
    """Remove the devices of dead sessions; return their names."""
    swept = []
    for device, owner in devices().items() if os.geteuid() == 0 else ():
        if is_abandoned(owner):
            with suppress(OSError, subprocess.CalledProcessError):
                remove(device)
                swept.append(device.name)
    return swept
