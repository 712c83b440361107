"""The files of measured speeds in the cache folder: one for each machine and device."""

from __future__ import annotations

import importlib.metadata
import os
import re
import time
from pathlib import Path

import msgspec
import psutil

from pytest_edgeload.base import files
from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.results.document import machine
from pytest_edgeload.results.stored_speeds import SCHEMA, LoadedSpeeds, SpeedsOrigin, StoredSpeeds, parse
from pytest_edgeload.sandbox.constraints import cores_of, disk_of

_FOLDER = "speeds"
_MAX_BYTES = 16 << 20
_NOMINAL = MachineSpeeds()


def origin_now(cache: Path, device: Device | None = None) -> SpeedsOrigin:
    """Return everything that speeds depend on, as it is now. The device's memory and swap do not count."""
    constraints = Constraints() if device is None else device.constraints.without(["memory_bytes", "swap_bytes"])
    return SpeedsOrigin(
        machine=machine(),
        disk=_disk(cache),
        version=importlib.metadata.version("pytest-edgeload"),
        threads=operator_threads(constraints),
        device="" if device is None else device.name,
        constraints=constraints,
    )


def operator_threads(constraints: Constraints) -> int:
    """Return the most threads of an operator under `constraints`."""
    return constraints.threads or len(cores_of(constraints.cores or os.cpu_count() or 1))


def store_speeds(
    cache: Path, origin: SpeedsOrigin, speeds: MachineSpeeds, remarks: tuple[str, ...] = ()
) -> StoredSpeeds:
    """Store speeds that were measured now, in place of older ones of the same machine and device. Raises UsageError."""
    stored = StoredSpeeds(SCHEMA, time.time(), origin, speeds, remarks)
    path = speeds_file(cache, origin)
    with files.noting(cache):
        files.make_folder(path.parent)
        files.write(path, msgspec.json.encode(stored), files.OURS)
    return stored


def load_speeds(cache: Path | None = None, device: Device | None = None) -> LoadedSpeeds:
    """Return the speeds of this machine, or of a device on it, from the cache folder, by default the user's.

    If they were not measured, or not under the present conditions, `faults` says so. A device that was not calibrated
    has the speeds of the machine, under the device's throttles.
    """
    cache = cache or SessionDirectories.new(None).cache
    now = origin_now(cache, device)
    stored, problem = _read(speeds_file(cache, now))
    if stored is not None:
        return LoadedSpeeds(stored.speeds, stored, stored.faults(now, time.time()))
    if device is not None:
        of_machine = load_speeds(cache)
        fault = problem or f"device {device.name} is not calibrated; these are the speeds of the machine"
        return LoadedSpeeds(of_machine.speeds.held_to(device.constraints), None, (fault, *of_machine.faults))
    return LoadedSpeeds(_NOMINAL, None, (problem or "this machine is not calibrated; these are nominal speeds",))


def speeds_file(cache: Path, origin: SpeedsOrigin) -> Path:
    """Return the file of this machine and device, which need not exist."""
    device = re.sub(r"[^a-zA-Z0-9.-]+", "-", origin.device)
    return cache / _FOLDER / f"{origin.machine.key}{device and f'@{device}'}.json"


def stored_files(cache: Path) -> list[Path]:
    """Return the files of all machines and devices."""
    return sorted((cache / _FOLDER).glob("*.json"))


def _read(path: Path) -> tuple[StoredSpeeds | None, str]:
    """Return the stored speeds, or None and a sentence about a file that cannot be read."""
    try:
        return parse(files.read(path, _MAX_BYTES)), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError) as error:
        return None, f"{path} cannot be read: {error}"


def _disk(cache: Path) -> str:
    """Return the file system and the disk of the folder: `ext4 on vda`."""
    folder = next(path for path in (cache, *cache.parents) if path.exists()).resolve()
    kinds = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    points = [point for point in kinds if folder.is_relative_to(point)]
    kind = kinds[max(points, key=lambda point: len(point.parts))] if points else "unknown"
    disk = disk_of(folder)
    return kind if disk is None else f"{kind} on {disk.name}"
