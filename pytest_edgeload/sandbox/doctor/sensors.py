"""The check of the sensors of energy, heat and throttling, which many machines do not have."""

from __future__ import annotations

from pytest_edgeload.sandbox.board.sensors import Sensors
from pytest_edgeload.sandbox.doctor.check import Check

_HINT = "run as root, on hardware rather than in a virtual machine; many boards have no sensor of power"


def checks(sensors: Sensors | None = None) -> list[Check]:
    """Return the check of the sensors, by default of this machine."""
    found = Sensors.of_host() if sensors is None else sensors
    kinds = {
        "energy": found.has_energy,
        "temperature": found.zones,
        "frequency": found.frequencies,
        "throttling": found.cooling or found.throttle_counts or found.pi_file or found.pi_command,
    }
    words = ", ".join(kind for kind, sensor in kinds.items() if sensor)
    return [Check("metrics", "board sensors", bool(words), words or "none", _HINT, "informative")]
