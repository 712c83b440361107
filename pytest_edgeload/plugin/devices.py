"""The devices of a session: those that --edge-device names, less what other options say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.base.units import Limit, exact_size
from pytest_edgeload.devices import OWN_FILE, Device, known_devices
from pytest_edgeload.plugin.options import Given, flag
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.results.record import Case
from pytest_edgeload.sandbox.hold import Hold
from pytest_edgeload.sandbox.limits import cores_of

_OVERRIDES = {"threads": "threads", "read-bw": "read_bps", "swap": "swap"}
"""The options, beside --edge-mem, that say what a device may say, and the fields that they take its place in."""


class Boards(NamedTuple):
    """The devices by name, None for this machine as it is, and the memory limits under each of them.

    `sets_memory` tells whether these are the devices' own.
    """

    devices: Mapping[str | None, Device | None]
    memory: Mapping[str | None, tuple[Limit | None, ...]]
    sets_memory: bool = True

    def __str__(self) -> str:
        """Return in words what they are, for the header."""
        limits = {name: ", ".join(str(limit or "none") for limit in found) for name, found in self.memory.items()}
        if set(limits) == {None}:
            return f"memory {limits[None]}"
        return "device " + ", ".join(f"{name or 'none'} ({found})" for name, found in limits.items())

    def device(self, name: str | None) -> Device | None:
        """Return the device of a test. Raises UsageError for one that a test names and --edge-device does not."""
        if name not in self.devices:
            raise UsageError(f"edge_device={name}: nothing was made ready for it; name it in {flag('device')}, too")
        return self.devices[name]

    @property
    def limits(self) -> tuple[Limit | None, ...]:
        """All limits, each once."""
        own = [device.memory for device in self.devices.values() if device is not None]
        return tuple(dict.fromkeys([*(limit for limits in self.memory.values() for limit in limits), *own]))


def boards_of(settings: Settings, given: Mapping[str, Given], rootdir: Path) -> Boards:
    """Return the devices that are asked for. Raises UsageError for one that nobody knows, or without a limit.

    What the command line or the environment says goes before a device; what the ini file says does so only where that
    is also where the device stands.
    """
    if settings.device == (None,):
        return Boards({None: None}, {None: settings.mem})
    own = rootdir / OWN_FILE
    known = known_devices(settings.devices or (own if os.path.lexists(own) else None))
    place = given["device"].source
    over = {name for name in given if not given[name].is_in_ini or given["device"].is_in_ini}
    given_up: dict[str, Any] = dict.fromkeys(key for name, key in _OVERRIDES.items() if name in over)
    found: dict[str | None, Device | None] = {}
    for name in settings.device:
        if name is not None and name not in known:
            raise UsageError(f"{place}={name}: no such device; {suggestion(name, known)}")
        found[name] = None if name is None else replace(_threaded(known[name]), **given_up)
    if "mem" in over and None in settings.mem and set(found) != {None}:
        raise UsageError(
            f"{given['mem'].source}=none: a device has a limit; leave it out, or leave {flag('device')} out"
        )
    memory = {
        name: settings.mem if device is None or "mem" in over else (device.memory,) for name, device in found.items()
    }
    return Boards(found, memory, "mem" not in over)


def _threaded(device: Device) -> Device:
    """Return the device with as many threads as it has cores here, where it does not say how many."""
    if device.threads is not None or device.cores is None:
        return device
    return replace(device, threads=len(cores_of(device.cores)))


def hold_of(device: Device) -> Hold:
    """Return what a device asks the kernel to hold a worker to, beside its memory."""
    return Hold(device.read_bps, device.write_bps, device.cpus, device.cores, device.swap)


def on(case: Case, device: Device, unenforced: tuple[str, ...], *, sets_memory: bool) -> Case:
    """Return `case` as it is on a device of which this much is not enforced; `sets_memory` as in Boards."""
    asked = {"threads": device.threads, **hold_of(device)._asdict()}
    stated = {name: value for name, value in asked.items() if value is not None}
    swap = case.swap
    if device.swap is not None and not any(text.startswith("swap") for text in unenforced):
        swap = exact_size(device.swap) if device.swap else "off"
    own_limit = ["limit"] if sets_memory and case.limit == str(device.memory) else []
    return msgspec.structs.replace(
        case,
        device=device.name,
        by_device=(*own_limit, *stated),
        unenforced=unenforced,
        swap=swap,
        **stated,
    )
