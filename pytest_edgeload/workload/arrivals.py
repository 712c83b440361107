"""Arrival processes: the times at which the batches of an open loop arrive. Pure; equal seeds give equal times."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec.structs import force_setattr

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument

Clock = Literal["s", "service"]
"""The unit of the times of a mix: seconds, or service times, each the time that one batch of the mix takes alone."""


class TimeUnit(NamedTuple):
    """The words for a unit of times: for several, and for one."""

    many: str
    one: str


SECONDS = TimeUnit("s", "second")
TIME_UNITS: Mapping[Clock, TimeUnit] = {"s": SECONDS, "service": TimeUnit("service times", "service time")}

RecordedUnit = Literal["ns", "us", "ms", "s", "m", "h"]
"""The units of recorded times."""


class Process(Protocol):
    """A source of arrival times. Its text names everything that decides them, except the seed.

    The text is part of the identity of a case: if its form changes, no case is found in a baseline.
    """

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""


class _InWords(msgspec.Struct, frozen=True, tag_field="process", forbid_unknown_fields=True):
    """A process whose text is its words in seconds."""

    def __str__(self) -> str:
        return self.words(SECONDS)

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        raise NotImplementedError


class Constant(_InWords, frozen=True, tag="constant"):
    """One arrival every `every_s` seconds, the first at once."""

    every_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the interval is positive and finite."""
        _settle(self, "every_s")

    @property
    def mean_s(self) -> float:
        """The mean interval."""
        return self.every_s

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        return f"constant, every {exact(self.every_s)} {unit.many}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:  # noqa: ARG002  # nothing is random
        """Return `count` times in seconds after the start, in order."""
        return tuple(self.every_s * k for k in range(count))


class Periodic(_InWords, frozen=True, tag="periodic"):
    """An arrival in each period of `every_s` seconds: at its beginning, or up to `jitter_s` seconds later."""

    every_s: float
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError unless the period is positive and finite, and the jitter not longer."""
        _settle(self, "every_s")
        force_setattr(self, "jitter_s", arguments.seconds("jitter_s", self.jitter_s))
        if not 0 <= self.jitter_s <= self.every_s:
            raise ValueError(f"jitter_s={self.jitter_s:g} is not between 0 and every_s={self.every_s:g}")

    @property
    def mean_s(self) -> float:
        """The mean interval."""
        return self.every_s

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        return f"periodic, every {exact(self.every_s)} {unit.many}, jitter {exact(self.jitter_s)} {unit.many}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        source = random.Random(seed)  # noqa: S311  # nothing here is secret
        return tuple(self.every_s * k + source.uniform(0, self.jitter_s) for k in range(count))


class Uniform(_InWords, frozen=True, tag="uniform"):
    """Intervals between `min_s` and `max_s` seconds, all equally likely."""

    min_s: float
    max_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the range is valid."""
        _settle(self, "max_s")
        force_setattr(self, "min_s", arguments.seconds("min_s", self.min_s))
        if not 0 <= self.min_s <= self.max_s:
            raise ValueError(f"min_s={self.min_s:g} is not between 0 and max_s={self.max_s:g}")

    @property
    def mean_s(self) -> float:
        """The mean interval."""
        return (self.min_s + self.max_s) / 2

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        return f"uniform, every {exact(self.min_s)} to {exact(self.max_s)} {unit.many}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        return _add_up(count, seed, lambda source: source.uniform(self.min_s, self.max_s))


class Normal(_InWords, frozen=True, tag="normal"):
    """Intervals normally distributed around `mean_s` with standard deviation `sd_s`; negative ones are drawn again."""

    mean_s: float
    sd_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless mean and deviation are positive and finite."""
        _settle(self, "mean_s")
        _settle(self, "sd_s")

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        return f"normal, every {exact(self.mean_s)} {unit.many}, deviation {exact(self.sd_s)} {unit.many}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""

        def interval(source: random.Random) -> float:
            while (drawn := source.gauss(self.mean_s, self.sd_s)) < 0:
                pass
            return drawn

        return _add_up(count, seed, interval)


class Exponential(_InWords, frozen=True, tag="exponential"):
    """Intervals exponentially distributed with mean `mean_s`: a Poisson process of rate 1 / `mean_s`."""

    mean_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the interval is positive and finite."""
        _settle(self, "mean_s")

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        return f"exponential, every {exact(self.mean_s)} {unit.many}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        return _add_up(count, seed, lambda source: source.expovariate(1 / self.mean_s))


class Poisson(_InWords, frozen=True, tag="poisson"):
    """A Poisson process: independent arrivals, on average `rate_per_s` per second."""

    rate_per_s: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the rate is positive and finite."""
        _settle(self, "rate_per_s", arguments.number)

    @property
    def mean_s(self) -> float:
        """The mean interval."""
        return 1 / self.rate_per_s

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its rate in this unit."""
        return f"poisson, {exact(self.rate_per_s)} a {unit.one}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        return _add_up(count, seed, lambda source: source.expovariate(self.rate_per_s))


class Gamma(_InWords, frozen=True, tag="gamma"):
    """Intervals gamma-distributed with mean `mean_s`: bursts and pauses if `shape` is below 1, a steady rate above."""

    mean_s: float
    shape: float

    def __post_init__(self) -> None:
        """Raise ValueError unless mean and shape are positive and finite."""
        _settle(self, "mean_s")
        _settle_shape(self)

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        return f"gamma, every {exact(self.mean_s)} {unit.many}, shape {exact(self.shape)}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        return _add_up(count, seed, lambda source: source.gammavariate(self.shape, self.mean_s / self.shape))


class Weibull(_InWords, frozen=True, tag="weibull"):
    """Weibull-distributed intervals with mean `mean_s`; below a `shape` of 1, more very short and very long ones."""

    mean_s: float
    shape: float

    def __post_init__(self) -> None:
        """Raise ValueError unless mean and shape are positive and finite."""
        _settle(self, "mean_s")
        _settle_shape(self)

    def words(self, unit: TimeUnit) -> str:
        """Return the process in words, with its times in this unit."""
        return f"weibull, every {exact(self.mean_s)} {unit.many}, shape {exact(self.shape)}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:
        """Return `count` times in seconds after the start, in order."""
        scale_s = self.mean_s / math.gamma(1 + 1 / self.shape)
        return _add_up(count, seed, lambda source: source.weibullvariate(scale_s, self.shape))


class Trace(_InWords, frozen=True, tag="trace", omit_defaults=True):
    """Recorded times, in seconds after the start. `origin` says how they were recorded and what was changed."""

    at_s: tuple[float, ...]
    origin: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError unless the times are at least 0 and in order."""
        hint = "give a list of times in seconds, such as (0.0, 0.5)"
        items = enumerate(arguments.items("at_s", self.at_s, hint))
        force_setattr(self, "at_s", tuple(arguments.seconds(f"at_s[{i}]", at) for i, at in items))
        force_setattr(self, "origin", arguments.text("origin", self.origin))
        if not all(0 <= at < math.inf for at in self.at_s) or list(self.at_s) != sorted(self.at_s):
            raise ValueError(
                "at_s is not a trace; give times from 0 s on, in order, or recorded ones to Trace.of or as `at`"
            )

    @classmethod
    def of(cls, times: Iterable[Any], *, unit: RecordedUnit | None = None) -> Trace:
        """Return the trace of times as recorded: sorted, and shifted so that the first arrival is at 0.

        `times` are numbers in `unit` (by default seconds), or dates: `datetime` objects or text in ISO 8601, in UTC
        unless they have another zone. Raises ValueError.
        """
        from pytest_edgeload.workload import recording  # noqa: PLC0415  # the worker reads no recordings

        return cls(*recording.shifted(times, unit))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, column: str | None = None, unit: RecordedUnit | None = None
    ) -> Trace:
        """Return the trace in the CSV or JSON Lines file `path`, sorted and shifted as by `of`; see docs/workloads.md.

        `column` has the times, in `unit` (default: seconds) or as dates. Traces of Azure and Mooncake need neither.
        Raises UsageError.
        """
        from pytest_edgeload.workload import recording  # noqa: PLC0415  # the worker reads no recordings

        return cls(*recording.load(arguments.path("path", path), column, unit))

    @property
    def mean_s(self) -> float | None:
        """The mean interval; None if there is none, or all times are the same."""
        span_s = self.at_s[-1] - self.at_s[0] if self.at_s else 0.0
        return span_s / (len(self.at_s) - 1) if span_s else None

    def words(self, unit: TimeUnit) -> str:
        """Return a digest of the times, their number and origin, with the unit if it is not the second."""
        digest = hashlib.sha256(msgspec.json.encode(self.at_s)).hexdigest()[:8]
        in_unit = "" if unit is SECONDS else f", in {unit.many}"
        return f"trace {digest} of {len(self.at_s)}{in_unit}{self.origin and f', {self.origin}'}"

    def times(self, count: int, seed: int) -> tuple[float, ...]:  # noqa: ARG002  # nothing is random
        """Return the first `count` times. Raises ValueError if there are fewer."""
        if count > len(self.at_s):
            raise ValueError(f"the trace has {len(self.at_s)} times for {count} arrivals; record more or request fewer")
        return self.at_s[:count]


_MIN_SHAPE, _MAX_SHAPE = 0.05, 1e6
"""Beyond these, intervals are so uneven that hardly one has a length, or so even that `Constant` says the same."""

PROCESSES = (Constant, Periodic, Uniform, Normal, Exponential, Poisson, Gamma, Weibull, Trace)


def in_words(process: Process, unit: TimeUnit) -> str:
    """Return a process in words, with its times in this unit."""
    if isinstance(process, PROCESSES):
        return process.words(unit)
    return str(process) if unit is SECONDS else f"{process}, in {unit.many}"


def exact(value: float) -> str:
    """Return the shortest text from which `value` can be read back exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def times_until(process: Process, end_s: float, max_count: int, seed: int) -> tuple[float, ...]:
    """Return the times of a process before `end_s`. Raises ValueError if it is not a process, or there are too many."""
    if isinstance(process, Trace):
        times = process.at_s
    else:
        count, times = 1, times_of(process, 1, seed)
        while times[-1] < end_s and count <= max_count:
            count *= 2
            times = times_of(process, count, seed)
    times = tuple(itertools.takewhile(lambda at_s: at_s < end_s, times))
    if len(times) > max_count:
        raise BadArgument("", f"more than {max_count} arrivals in {end_s:g} s", "lengthen the intervals")
    return times


def times_of(process: Process, count: int, seed: int) -> tuple[float, ...]:
    """Return `count` times of a process that may be the user's own. Raises ValueError if it is not a process."""
    if isinstance(process, type) or not callable(getattr(process, "times", None)):
        raise BadArgument.of("process", process, "not an arrival process", "give one such as Poisson(2.0)")
    hint = "let its `times` return a list of seconds"
    items = enumerate(arguments.items("times", process.times(count, seed), hint))
    times = tuple(arguments.seconds(f"times[{i}]", at) for i, at in items)
    if len(times) != count:
        raise BadArgument.of("process", process, f"gave {len(times)} times for {count} arrivals", "let it give as many")
    return times


def _settle(process: msgspec.Struct, name: str, convert: Callable[[str, Any], float] = arguments.seconds) -> None:
    """Convert the field `name` to a float. Raises ValueError unless it is positive and finite."""
    value = convert(name, getattr(process, name))
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value:g} is not positive")
    force_setattr(process, name, value)


def _settle_shape(process: Gamma | Weibull) -> None:
    """Convert the shape to a float. Raises ValueError unless it is in the range of its distribution's formulas."""
    shape = arguments.number("shape", process.shape)
    if not _MIN_SHAPE <= shape <= _MAX_SHAPE:
        raise ValueError(f"shape={shape:g} is not between {_MIN_SHAPE:g} and {_MAX_SHAPE:g}")
    force_setattr(process, "shape", shape)


def _add_up(count: int, seed: int, interval: Callable[[random.Random], float]) -> tuple[float, ...]:
    """Return the times of `count` arrivals, the first after one interval."""
    source = random.Random(seed)  # noqa: S311  # nothing here is secret
    return tuple(itertools.accumulate(interval(source) for _ in range(count)))
