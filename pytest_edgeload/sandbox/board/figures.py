"""Figures of a run from readings of the board's sensors. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Brake(NamedTuple):
    """A sign that the processor is throttled: whether it is now, and events that only grow."""

    is_on: bool = False
    events: int = 0


@dataclass(frozen=True, slots=True)
class BoardReading:
    """All sensors at one moment; None for one that the machine does not have, or that could not be read."""

    at_s: float
    energy_uj: tuple[int | None, ...] = ()
    power_w: float | None = None
    temperature_c: float | None = None
    frequency_share: float | None = None
    brakes: tuple[Brake | None, ...] = ()


def energy_j(readings: Sequence[BoardReading], ranges_uj: Sequence[int]) -> float | None:
    """Return the energy from the first reading to the last, of counters or else of powers; None if it is not known.

    A counter that reaches its range starts again from 0, at most once between two readings. Between two readings the
    power is their mean.
    """
    known = [r for r in readings if (None not in r.energy_uj if ranges_uj else r.power_w is not None)]
    if len(known) < 2 or known[0] is not readings[0] or known[-1] is not readings[-1]:  # noqa: PLR2004
        return None
    return sum(_step_j(before, after, ranges_uj) for before, after in pairwise(known))


def _step_j(before: BoardReading, after: BoardReading, ranges_uj: Sequence[int]) -> float:
    if not ranges_uj:
        return ((before.power_w or 0.0) + (after.power_w or 0.0)) / 2 * (after.at_s - before.at_s)
    grown = zip(before.energy_uj, after.energy_uj, ranges_uj, strict=True)
    return sum(((now or 0) - (then or 0)) % range_uj for then, now, range_uj in grown) / 1e6


def power_w(readings: Sequence[BoardReading], ranges_uj: Sequence[int]) -> float | None:
    """Return the mean power from the first reading to the last, in watts; None if it is not known."""
    energy = energy_j(readings, ranges_uj)
    return None if energy is None else energy / (readings[-1].at_s - readings[0].at_s)


def throttled_s(readings: Sequence[BoardReading]) -> float | None:
    """Return the time during which the processor was throttled, by the sign that shows most; None without a sign.

    The time from one reading to the next counts if the later one shows a throttle, or that there was one in between.
    """
    times = [_braked_s(readings, sign) for sign in zip(*(reading.brakes for reading in readings), strict=True)]
    return max((seconds for seconds in times if seconds is not None), default=None)


def _braked_s(readings: Sequence[BoardReading], sign: Sequence[Brake | None]) -> float | None:
    known = [(r.at_s, brake) for r, brake in zip(readings, sign, strict=True) if brake is not None]
    if not known:
        return None
    steps = pairwise(known)
    return sum((end_s - begin_s for (begin_s, a), (end_s, b) in steps if b.is_on or b.events > a.events), 0.0)


def board_metrics(
    readings: Sequence[BoardReading], ranges_uj: Sequence[int], idle_power_w: float | None
) -> dict[str, float]:
    """Return the metrics of a run that lasted from the first reading to the last, by name; not those without a sensor.

    The power of the idle machine is subtracted from the energy. If it is not known, neither is the energy of the run.
    """
    energy = energy_j(readings, ranges_uj)
    own_j = None
    if energy is not None and idle_power_w is not None:
        own_j = max(0.0, energy - idle_power_w * (readings[-1].at_s - readings[0].at_s))
    temperatures = [r.temperature_c for r in readings if r.temperature_c is not None]
    shares = [r.frequency_share for r in readings if r.frequency_share is not None]
    found = {
        "energy_j": own_j,
        "idle_power_w": None if own_j is None else idle_power_w,
        "max_temperature_c": max(temperatures, default=None),
        "min_frequency_share": min(shares, default=None),
        "throttled_s": throttled_s(readings),
    }
    return {name: value for name, value in found.items() if value is not None}
