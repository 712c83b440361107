"""Arrival processes: the times at which the batches of an open loop arrive. Pure; equal seeds give equal times."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable
from typing import Protocol

import msgspec


class Process(Protocol):
    """A source of arrival times. Its text names everything that decides them, except the seed."""

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""


class Constant(msgspec.Struct, frozen=True, tag="constant", tag_field="process", forbid_unknown_fields=True):
    """One arrival every `every_s` seconds, the first at once."""

    every_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the interval is positive and finite."""
        _positive("every_s", self.every_s)

    def __str__(self) -> str:
        return f"constant, every {_exact(self.every_s)} s"

    def times(self, count: int, seed: int) -> tuple[float, ...]:  # noqa: ARG002  # nothing is random
        """Return `count` times in seconds after the start, in order."""
        return tuple(self.every_s * k for k in range(count))


class Uniform(msgspec.Struct, frozen=True, tag="uniform", tag_field="process", forbid_unknown_fields=True):
    """Intervals between `min_s` and `max_s` seconds, all equally likely."""

    min_s: float
    max_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the range is valid."""
        _positive("max_s", self.max_s)
        if not 0 <= self.min_s <= self.max_s:
            raise ValueError(f"min_s={self.min_s:g} is not between 0 and max_s={self.max_s:g}")

    def __str__(self) -> str:
        return f"uniform, every {_exact(self.min_s)} to {_exact(self.max_s)} s"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        return _add_up(count, seed, lambda source: source.uniform(self.min_s, self.max_s))


class Normal(msgspec.Struct, frozen=True, tag="normal", tag_field="process", forbid_unknown_fields=True):
    """Intervals normally distributed around `mean_s` with standard deviation `sd_s`; negative ones are drawn again."""

    mean_s: float
    sd_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless mean and deviation are positive and finite."""
        _positive("mean_s", self.mean_s)
        _positive("sd_s", self.sd_s)

    def __str__(self) -> str:
        return f"normal, every {_exact(self.mean_s)} s, deviation {_exact(self.sd_s)} s"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""

        def interval(source: random.Random) -> float:
            while (drawn := source.gauss(self.mean_s, self.sd_s)) < 0:
                pass
            return drawn

        return _add_up(count, seed, interval)


class Exponential(msgspec.Struct, frozen=True, tag="exponential", tag_field="process", forbid_unknown_fields=True):
    """Intervals exponentially distributed with mean `mean_s`: a Poisson process of rate 1 / `mean_s`."""

    mean_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the interval is positive and finite."""
        _positive("mean_s", self.mean_s)

    def __str__(self) -> str:
        return f"exponential, every {_exact(self.mean_s)} s"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        return _add_up(count, seed, lambda source: source.expovariate(1 / self.mean_s))


class Poisson(msgspec.Struct, frozen=True, tag="poisson", tag_field="process", forbid_unknown_fields=True):
    """A Poisson process: independent arrivals, on average `rate_per_s` per second."""

    rate_per_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the rate is positive and finite."""
        _positive("rate_per_s", self.rate_per_s)

    def __str__(self) -> str:
        return f"poisson, {_exact(self.rate_per_s)} a second"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        return _add_up(count, seed, lambda source: source.expovariate(self.rate_per_s))


class Trace(msgspec.Struct, frozen=True, tag="trace", tag_field="process", forbid_unknown_fields=True):
    """Recorded times, in seconds after the start."""

    at_s: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError unless the times are at least 0 and in order."""
        if not all(0 <= at < math.inf for at in self.at_s) or list(self.at_s) != sorted(self.at_s):
            raise ValueError("at_s is not a trace; give times from 0 s on, in order")

    def __str__(self) -> str:
        digest = hashlib.sha256(msgspec.json.encode([float(at) for at in self.at_s])).hexdigest()[:8]
        return f"trace {digest} of {len(self.at_s)}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:  # noqa: ARG002  # nothing is random
        """Return the first `count` times. Raises ValueError if there are fewer."""
        if count > len(self.at_s):
            raise ValueError(f"the trace has {len(self.at_s)} times for {count} arrivals; record more or request fewer")
        return self.at_s[:count]


PROCESSES = (Constant, Uniform, Normal, Exponential, Poisson, Trace)


def _exact(value: float) -> str:
    """Return the shortest text from which `value` can be read back exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value:g} is not positive")


def _add_up(count: int, seed: int, interval: Callable[[random.Random], float]) -> tuple[float, ...]:
    """Return the times of `count` arrivals, the first after one interval."""
    source = random.Random(seed)  # noqa: S311  # nothing here is secret
    return tuple(itertools.accumulate(interval(source) for _ in range(count)))
