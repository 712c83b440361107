"""Speeds are stored for each machine and device; the reasons why they may be wrong are named."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.speeds.store import load_speeds, origin_now, speeds_file, store_speeds
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.results.stored_speeds import SpeedsOrigin

BOARD = Device("my board", Constraints(memory_bytes=1 << 30, read_bps=20 << 20, threads=1))
SPEEDS = MachineSpeeds(write_bytes_per_s=5e7)
MEASURED = "measured on another machine, {}; this is {}"


def stored_as(cache: Path, origin: SpeedsOrigin) -> None:
    """Store speeds of another origin in the place of those of this machine."""
    store_speeds(cache, origin, SPEEDS)
    speeds_file(cache, origin).rename(speeds_file(cache, origin_now(cache)))


def test_stored_speeds_are_loaded_without_faults(tmp_path: Path) -> None:
    """They are those that were stored."""
    stored = store_speeds(tmp_path, origin_now(tmp_path), SPEEDS, ("swap was not measured",))
    loaded = load_speeds(tmp_path)
    assert loaded == (SPEEDS, stored, ())
    assert stored.remarks == ("swap was not measured",)


def test_machine_without_stored_speeds_has_nominal_ones(tmp_path: Path) -> None:
    """The fault says so."""
    assert load_speeds(tmp_path) == (
        MachineSpeeds(), None, ("this machine is not calibrated; these are nominal speeds",)
    )  # fmt: skip


def test_device_without_speeds_has_those_of_the_machine_under_its_throttles(tmp_path: Path) -> None:
    """Its own take their place as soon as it is calibrated."""
    store_speeds(tmp_path, origin_now(tmp_path), SPEEDS)
    loaded = load_speeds(tmp_path, BOARD)
    assert loaded.speeds == SPEEDS.held_to(BOARD.constraints)
    assert {row.bytes_per_s for row in loaded.speeds.reads if not row.is_cached} == {20 << 20}
    assert loaded.faults == ("device my board is not calibrated; these are the speeds of the machine",)
    own = store_speeds(tmp_path, origin_now(tmp_path, BOARD), SPEEDS)
    assert load_speeds(tmp_path, BOARD) == (SPEEDS, own, ())


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("torch", "2.0", "measured with torch 2.0; now it is torch "),
        ("kernel", "3.2", "measured with kernel 3.2; now it is kernel "),
        ("python", "3.8", "measured with Python 3.8; now it is Python "),
    ],
)
def test_speeds_of_other_software_are_stale(tmp_path: Path, field: str, value: str, fault: str) -> None:
    """The fault names both versions."""
    now = origin_now(tmp_path)
    stored_as(tmp_path, msgspec.structs.replace(now, machine=msgspec.structs.replace(now.machine, **{field: value})))
    loaded = load_speeds(tmp_path)
    assert loaded.speeds == SPEEDS
    assert [found[: len(fault)] for found in loaded.faults] == [fault]


def test_speeds_of_another_disk_or_device_are_stale(tmp_path: Path) -> None:
    """A device whose constraints were edited is another one."""
    now = origin_now(tmp_path)
    stored_as(tmp_path, msgspec.structs.replace(now, disk="ext4 on mmcblk0", threads=64))
    assert load_speeds(tmp_path).faults == (
        f"measured with ext4 on mmcblk0; now it is {now.disk}",
        f"measured with 64 threads; now it is {now.facts['threads']}",
    )
    store_speeds(tmp_path, origin_now(tmp_path, BOARD), SPEEDS)
    edited = Device(BOARD.name, BOARD.constraints | Constraints(read_bps=40 << 20))
    assert load_speeds(tmp_path, edited).faults == (
        "measured with 1 threads, reads at 20M/s; now it is 1 threads, reads at 40M/s",
    )


def test_speeds_of_another_machine_are_named(tmp_path: Path) -> None:
    """A cache folder that was copied says so in one sentence."""
    now = origin_now(tmp_path)
    other = msgspec.structs.replace(now.machine, processor="Cortex-A72", processors=4, kernel="6.1")
    stored_as(tmp_path, msgspec.structs.replace(now, machine=other))
    assert load_speeds(tmp_path).faults == (MEASURED.format(other.key, now.machine.key),)


def test_old_speeds_are_stale(tmp_path: Path) -> None:
    """After 30 days the machine may be another one."""
    stored = store_speeds(tmp_path, origin_now(tmp_path), SPEEDS)
    assert stored.faults(stored.origin, time.time() + 29 * 86400) == ()
    assert stored.faults(stored.origin, stored.measured_s + 31 * 86400) == ("measured 31 days ago",)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"schema": 0}', b'{"schema": 4, "speeds": 3}'])
def test_file_that_cannot_be_read_is_named(tmp_path: Path, text: bytes) -> None:
    """The speeds are then nominal."""
    path = speeds_file(tmp_path, origin_now(tmp_path))
    path.parent.mkdir()
    path.write_bytes(text)
    loaded = load_speeds(tmp_path)
    assert loaded.speeds == MachineSpeeds()
    assert loaded.faults[0].startswith(f"{path} cannot be read: ")
