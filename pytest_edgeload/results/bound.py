"""What no run of a workload can beat on one machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """What it takes to read the weights and do nothing else, and to compute with all weights there."""

    read_bytes: int
    read_s: float
    compute_s: float

    @property
    def bound_s(self) -> float:
        """The longer of the two: one can hide behind the other, and neither can be left out."""
        return max(self.read_s, self.compute_s)

    @property
    def figures(self) -> dict[str, float]:
        """The metrics of a measurement that say this."""
        return {
            "bound_read_bytes": self.read_bytes,
            "bound_read_s": self.read_s,
            "bound_compute_s": self.compute_s,
            "bound_s": self.bound_s,
        }
