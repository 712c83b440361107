"""The speeds of a machine in a file, with everything that they hold for: another machine or version has others."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.base.decoding import Seconds
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.results.document import Machine

SCHEMA = 4
"""Version of the file."""

MAX_AGE_S = 30 * 86400.0
"""The age in seconds from which speeds are stale: firmware, disks and neighbors of a machine change."""

_DAY_S = 86400.0


class SpeedsOrigin(msgspec.Struct, frozen=True):
    """Everything that speeds depend on.

    `disk` names the file system and the disk of the cache folder, and `version` is that of this package. `constraints`
    are those of the device, and `threads` is the largest number of threads of an operator.
    """

    machine: Machine
    disk: str
    version: str
    threads: int
    device: str = ""
    constraints: Constraints = Constraints()

    @property
    def facts(self) -> dict[str, str]:
        """Each fact in words, by what it is about."""
        machine = self.machine
        return {
            "torch": f"torch {machine.torch}",
            "kernel": f"kernel {machine.kernel}",
            "python": f"Python {machine.python}",
            "version": f"pytest-edgeload {self.version}",
            "disk": self.disk,
            "threads": f"{self.threads} {'thread' if self.threads == 1 else 'threads'}",
            "constraints": ", ".join(self.constraints.words.values()) or "no constraints",
        }

    def differences(self, now: SpeedsOrigin) -> tuple[str, ...]:
        """Return a sentence about each fact that is not what it is `now`; the machine itself comes first."""
        if self.machine.key != now.machine.key:
            return (f"measured on another machine, {self.machine.key}; this is {now.machine.key}",)
        return tuple(
            f"measured with {was}; now it is {now.facts[name]}"
            for name, was in self.facts.items()
            if was != now.facts[name]
        )


class StoredSpeeds(msgspec.Struct, frozen=True):
    """Speeds, the Unix time of their measurement, and sentences about figures that could not be measured."""

    schema: int
    measured_s: Seconds
    origin: SpeedsOrigin
    speeds: MachineSpeeds
    remarks: tuple[str, ...] = ()

    def faults(self, now: SpeedsOrigin, now_s: float) -> tuple[str, ...]:
        """Return a sentence about each reason why these speeds may be wrong at the time `now_s`; empty if none is."""
        days = (now_s - self.measured_s) / _DAY_S
        old = (f"measured {days:.0f} days ago",) if now_s - self.measured_s > MAX_AGE_S else ()
        return (*self.origin.differences(now), *old)


class LoadedSpeeds(NamedTuple):
    """The speeds to use, and sentences about why they may not be those of this machine now; show them to the user.

    Without `stored`, nothing usable is stored. With `faults`, they are stale, or nominal, or those of the machine for a
    device that was not calibrated.
    """

    speeds: MachineSpeeds
    stored: StoredSpeeds | None
    faults: tuple[str, ...] = ()


class _SchemaOnly(msgspec.Struct):
    schema: int


def parse(text: bytes) -> StoredSpeeds:
    """Return the speeds in a file. Raises ValueError if it is not such a file or has another schema."""
    schema = decoding.decode(text, _SchemaOnly).schema
    if schema != SCHEMA:
        raise ValueError(f"its schema is {schema}, but this version reads {SCHEMA}")
    return decoding.decode(text, StoredSpeeds)
