"""Devices in a session: the constraints that options replace, the swap they share, and the case on a device."""

from __future__ import annotations

import pytest

from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.measuring.devices import common_swap, on_device, overruled
from pytest_edgeload.results.case import Case

GIB = 1 << 30


def device(swap_kind: str = "", swap_bytes: int | None = GIB) -> Device:
    """Return a device with this swap."""
    return Device("board", Constraints(GIB, swap_bytes), swap_kind=swap_kind)


@pytest.mark.parametrize(
    ("devices", "swap"),
    [
        ([device("zram"), device("zram", 2 * GIB)], ("zram", 2 * GIB)),
        ([device("zram"), device(swap_bytes=0)], ("zram", GIB)),  # a device that may not swap asks for nothing
        ([device("zram"), device("file")], None),
        ([device("zram"), device()], None),
        ([device("zram"), device(swap_bytes=None)], None),
        ([device("zram"), None], None),  # this machine keeps the swap it has
        ([device()], None),
        ([device(swap_bytes=0)], None),
        ([None], None),
    ],
)
def test_session_has_a_kind_of_swap_if_its_devices_agree(
    devices: list[Device | None], swap: tuple[str, int] | None
) -> None:
    """The swap of a session has the kind that all of its devices have, and is as large as the largest."""
    assert common_swap(devices) == swap


def test_case_has_the_swap_of_its_device_if_the_machine_has_it() -> None:
    """The case of a device has its swap with the kind; if the machine lacks it, the case has that of the machine."""
    case, board = Case(test="", workload="", policy="", reader="", cap="", swap="8G"), device("zram")
    assert on_device(case, board, (), sets_memory=False).swap == "zram:1G"
    lacking = on_device(case, board, (Shortfall("swap_bytes", "8G of zram:1G"),), sets_memory=False)
    assert (lacking.swap, lacking.constraints.swap_bytes) == ("8G", GIB)
    assert on_device(case, device(swap_bytes=None), (), sets_memory=False).swap == "8G"


def test_option_for_the_swap_replaces_its_kind() -> None:
    """A device whose swap an option sets has neither its size nor its kind."""
    assert overruled(device("zram"), ["swap_bytes"]).swap is None
    assert common_swap([overruled(device("zram"), ["swap_bytes"])]) is None
    assert overruled(device("zram"), ["threads"]).swap == "zram:1G"
