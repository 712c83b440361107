"""The bounds that no plan can beat: times to read and to compute, and what memory and loops add to them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from pytest_edgeload.results.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Loop:
    """A request of several `steps`: the bytes of weights that each step needs, and the seconds to compute one step."""

    network: str
    steps: int
    weights_bytes: int
    compute_s: float


@dataclass(frozen=True, slots=True)
class Bound:
    """The bytes and seconds to read the weights and do nothing else, and the seconds to compute with all weights.

    Reading includes the weights that loops must read again. `step_s` is the mean bound of a step after the first, None
    without loops. `memory_s` is the bound that also knows the memory, see `memory_bound`; None if it was not computed.
    """

    read_bytes: int
    read_s: float
    compute_s: float
    step_s: float | None = None
    memory_s: float | None = None

    @property
    def s_per_byte(self) -> float:
        """The seconds to read one byte."""
        return self.read_s / self.read_bytes if self.read_bytes else 0.0

    @property
    def bound_s(self) -> float:
        """The longer of both times: reading and computing can overlap, but neither can be left out."""
        return max(self.read_s, self.compute_s)

    def with_loops(self, loops: Sequence[Loop], room_bytes: int | None) -> Bound:
        """Return the bound of the same work with these loops, if `room_bytes` of weights fit in memory (None: all).

        Whatever does not fit is read again in each step, at the speed of the first reading, but only once for all
        requests of a network that run step by step together.
        """
        if not loops:
            return self
        s_per_byte = self.s_per_byte
        again_bytes: dict[str, int] = {}
        step_s = 0.0
        for loop in loops:
            later, missing_bytes = loop.steps - 1, _missing_bytes(loop, room_bytes)
            again_bytes[loop.network] = max(later * missing_bytes, again_bytes.get(loop.network, 0))
            step_s += later * max(loop.compute_s, missing_bytes * s_per_byte)
        read_bytes = self.read_bytes + sum(again_bytes.values())
        return replace(
            self,
            read_bytes=read_bytes,
            read_s=read_bytes * s_per_byte,
            step_s=step_s / sum(loop.steps - 1 for loop in loops),
        )

    def of_stored(self, share: float) -> Bound:
        """Return the same bound with only this share of the bytes, because compressed weights are fewer bytes."""
        return replace(self, read_bytes=round(share * self.read_bytes))

    def complete(self, measurement: Measurement) -> Measurement:
        """Return `measurement` with the metrics of this bound."""
        return msgspec.structs.replace(
            measurement,
            bound_read_bytes=self.read_bytes,
            bound_read_s=self.read_s,
            bound_compute_s=self.compute_s,
            bound_s=self.bound_s,
            bound_step_s=self.step_s,
            bound_memory_s=self.memory_s if self.memory_s is not None and self.memory_s > self.bound_s else None,
        )


def _missing_bytes(loop: Loop, room_bytes: int | None) -> int:
    return 0 if room_bytes is None else max(0, loop.weights_bytes - max(0, room_bytes))
