"""The devices of a session: those of --edge-device, without the constraints that other options set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload.base.errors import Setting, UsageError, suggestion
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices import OWN_FILE, Device, known_devices
from pytest_edgeload.devices.constraints import CONSTRAINTS
from pytest_edgeload.measuring.devices import common_swap, overruled
from pytest_edgeload.plugin.options import Given
from pytest_edgeload.plugin.settings import Settings


class SessionDevices(NamedTuple):
    """The devices by name (None for this machine without emulation), and the memory limits under each of them.

    `sets_memory` is true if the limits are those of the devices.
    """

    devices: Mapping[str | None, Device | None]
    memory: Mapping[str | None, tuple[Limit | None, ...]]
    sets_memory: bool = True

    def __str__(self) -> str:
        """Return the devices and their limits in words, for the header."""
        limits = {name: ", ".join(str(limit or "none") for limit in own) for name, own in self.memory.items()}
        if set(limits) == {None}:
            return f"memory {limits[None]}"
        return "device " + ", ".join(f"{name or 'none'} ({texts})" for name, texts in limits.items())

    @property
    def swap(self) -> tuple[str, int] | None:
        """The kind and the bytes of the swap that all devices ask for; None if they do not agree, or ask for none."""
        return common_swap(self.devices.values())

    def device(self, name: str | None) -> Device | None:
        """Return the device of a test. Raises UsageError if a test names a device that --edge-device does not."""
        if name not in self.devices:
            hint = ("add it to ", Setting("device"))
            raise UsageError(f"edge_device={name}", "this session is not prepared for the device", hint)
        return self.devices[name]

    @property
    def limits(self) -> tuple[Limit | None, ...]:
        """All limits, without duplicates."""
        own = [device.memory for device in self.devices.values() if device is not None]
        return tuple(dict.fromkeys([*(limit for limits in self.memory.values() for limit in limits), *own]))


def devices_in(settings: Settings, rootdir: Path) -> dict[str, Device]:
    """Return all known devices: the shipped ones, and those of the project. Raises UsageError."""
    own = rootdir / OWN_FILE
    return known_devices(settings.devices or (own if os.path.lexists(own) else None))


def session_devices(settings: Settings, given: Mapping[str, Given], rootdir: Path) -> SessionDevices:
    """Return the devices of a session. Raises UsageError for an unknown device, or a device without a limit.

    Options of the command line and the environment overrule a device. Options of the ini file do so only if the ini
    file also sets the device.
    """
    if settings.device == (None,):
        return SessionDevices({None: None}, {None: settings.mem})
    known = devices_in(settings, rootdir)
    overruling = {name for name in given if not given[name].is_in_ini or given["device"].is_in_ini}
    fields = [row.field for row in CONSTRAINTS.values() if row.option in overruling and row.option != "mem"]
    devices: dict[str | None, Device | None] = {}
    for name in settings.device:
        if name is not None and name not in known:
            raise UsageError(f"{given['device'].source}={name}", "no such device", suggestion(name, known))
        devices[name] = None if name is None else overruled(known[name], fields)
    sets_memory = "mem" not in overruling
    if not sets_memory and None in settings.mem and set(devices) != {None}:
        hint = ("leave it out, or leave out ", Setting("device"))
        raise UsageError(f"{given['mem'].source}=none", "a device has a limit", hint)
    memory = {
        name: (device.memory,) if device is not None and sets_memory else settings.mem
        for name, device in devices.items()
    }
    return SessionDevices(devices, memory, sets_memory)
