"""A case on an emulated device: the device's constraints, without those that options set. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import msgspec

from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.constraints import cores_of


def overruled(device: Device, fields: Collection[str]) -> Device:
    """Return the device without the constraints in `fields`, which options set.

    If it does not set a number of threads, it gets as many as it has cores here.
    """
    cores, own = device.constraints.cores, device.constraints
    threads = Constraints() if cores is None else Constraints(threads=len(cores_of(cores)))
    kind = "" if "swap_bytes" in fields else device.swap_kind
    return replace(device, constraints=(threads | own).without(fields), swap_kind=kind)


def common_swap(devices: Iterable[Device | None]) -> tuple[str, int] | None:
    """Return the kind and the bytes of a swap for all `devices` of a session; None is this machine without a device.

    None if none of them asks for a kind, or if those that may swap do not all ask for the same.
    """
    swapping = [each for each in devices if each is None or each.constraints.swap_bytes != 0]
    kinds = {"" if each is None else each.swap_kind for each in swapping}
    sizes = [each.constraints.swap_bytes or 0 for each in swapping if each is not None]
    return (kinds.pop(), max(sizes)) if len(kinds) == 1 and any(kinds) else None


def on_device(case: Case, device: Device, unenforced: tuple[Shortfall, ...], *, sets_memory: bool) -> Case:
    """Return `case` on a device. `unenforced` are the constraints that this machine cannot enforce."""
    own = device.constraints.without(["memory_bytes"])
    is_swap_enforced = device.swap is not None and not any(each.constraint == "swap_bytes" for each in unenforced)
    own_limit = ["memory_bytes"] if sets_memory and case.limit == str(device.memory) else []
    return msgspec.structs.replace(
        case,
        constraints=case.constraints | own,
        device=device.name,
        by_device=(*own_limit, *own.values),
        unenforced=unenforced,
        swap=device.swap if device.swap is not None and is_swap_enforced else case.swap,
    )
