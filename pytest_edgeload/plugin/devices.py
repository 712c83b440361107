"""The devices of a session: those that --edge-device names, less what other options say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices import OWN_FILE, Device, known_devices
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraints, Shortfall
from pytest_edgeload.plugin.options import Given, flag
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.results.record import Case
from pytest_edgeload.sandbox.constraints import cores_of


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
    overridden = [row.field for row in CONSTRAINTS.values() if row.option in over and row.option != "mem"]
    found: dict[str | None, Device | None] = {}
    for name in settings.device:
        if name is not None and name not in known:
            raise UsageError(f"{place}={name}: no such device; {suggestion(name, known)}")
        found[name] = None if name is None else _without(_threaded(known[name]), overridden)
    if "mem" in over and None in settings.mem and set(found) != {None}:
        raise UsageError(
            f"{given['mem'].source}=none: a device has a limit; leave it out, or leave {flag('device')} out"
        )
    memory = {
        name: settings.mem if device is None or "mem" in over else (device.memory,) for name, device in found.items()
    }
    return Boards(found, memory, "mem" not in over)


def _threaded(device: Device) -> Device:
    """Return the device with as many threads as it has cores here, if it does not set a number of threads."""
    cores = device.constraints.cores
    if cores is None:
        return device
    return replace(device, constraints=Constraints(threads=len(cores_of(cores))) | device.constraints)


def _without(device: Device, fields: Sequence[str]) -> Device:
    return replace(device, constraints=device.constraints.without(fields))


def on(case: Case, device: Device, unenforced: tuple[Shortfall, ...], *, sets_memory: bool) -> Case:
    """Return `case` as it is on a device of which this much is not enforced. `sets_memory` is as in Boards."""
    own = device.constraints.without(["memory_bytes"])
    swap = own.swap_bytes
    is_swap_enforced = swap is not None and not any(each.constraint == "swap_bytes" for each in unenforced)
    own_limit = ["memory_bytes"] if sets_memory and case.limit == str(device.memory) else []
    return msgspec.structs.replace(
        case,
        constraints=case.constraints | own,
        device=device.name,
        by_device=(*own_limit, *own.values),
        unenforced=unenforced,
        swap=CONSTRAINTS["swap_bytes"].text(swap) if is_swap_enforced else case.swap,
    )
