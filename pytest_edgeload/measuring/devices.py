"""A case on an emulated device: the device's constraints, without those that options set. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraints, Shortfall
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.constraints import cores_of


def overruled(device: Device, fields: Iterable[str]) -> Device:
    """Return the device without the constraints in `fields`, which options set.

    If it does not set a number of threads, it gets as many as it has cores here.
    """
    cores, own = device.constraints.cores, device.constraints
    threads = Constraints() if cores is None else Constraints(threads=len(cores_of(cores)))
    return replace(device, constraints=(threads | own).without(fields))


def on_device(case: Case, device: Device, unenforced: tuple[Shortfall, ...], *, sets_memory: bool) -> Case:
    """Return `case` on a device. `unenforced` are the constraints that this machine cannot enforce."""
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
