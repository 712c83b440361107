"""Requests of networks, the workloads that they form, and the mixes that suites define. Pure data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

from pytest_edgeload.base.text import check
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.workload.arrivals import Process

Comparison = Literal[">", ">=", "<", "<="]

Conditions = Literal["wait", "early", "ignore"]
"""How conditions are treated: their requests wait for the answer that decides; they start along with the request that
gives it, and are dropped late; or their condition is ignored."""

Loop = Literal["once", "closed", "open"]
"""How batches arrive: all at the start, each when the last is done, or each at its own time."""


class Condition(msgspec.Struct, frozen=True):
    """A condition of a request: how the largest value in a part of an earlier request's output compares with `value`.

    `request` is the index of the earlier request, `output` the index of its output, and `at` the leading indices of the
    part (empty: the whole output). Raises ValueError if `value` is not finite.
    """

    request: int
    value: float
    comparison: Comparison = ">"
    output: int = 0
    at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if `value` is not finite: no output compares with it, and no record can contain it."""
        if not math.isfinite(self.value):
            raise ValueError(f"a condition compares with value={self.value:g}; give a finite number")


@dataclass(frozen=True, slots=True)
class Request:
    """One inference of `network`, on the sample with this index (modulo the number of samples).

    It arrives `arrival_s` seconds after its `batch` begins: batch 0 at the start, each other batch when all batches
    before it are done. It is late if it is answered more than `deadline_s` seconds after its arrival, and it is dropped
    if the condition `when` fails.
    """

    network: Network
    sample: int = 0
    arrival_s: float = 0.0
    batch: int = 0
    deadline_s: float | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests in order of arrival, and how conditions are treated. Raises ValueError unless valid."""

    name: str
    requests: tuple[Request, ...]
    conditions: Conditions = "wait"

    def __post_init__(self) -> None:
        """Raise ValueError unless times, conditions and the order are valid."""
        for r, request in enumerate(self.requests):
            _check_times(f"workload {self.name}, request {r}", request.arrival_s, request.deadline_s)
            if request.when is not None and not 0 <= request.when.request < r:
                raise ValueError(
                    f"workload {self.name}, request {r}: its condition asks request {request.when.request}; "
                    "only an earlier one can decide"
                )
        if any(_moment(after) < _moment(before) for before, after in pairwise(self.requests)):
            raise ValueError(f"workload {self.name}: its requests must be in order of arrival")

    @property
    def asked(self) -> tuple[Request, ...]:
        """The requests, without their conditions if these are ignored."""
        if self.conditions != "ignore":
            return self.requests
        return tuple(replace(request, when=None) for request in self.requests)

    @property
    def waves(self) -> list[list[int]]:
        """Groups of requests, as indices, to be planned together: they arrive at once and none waits for another."""
        waves: dict[tuple[int, float, int], list[int]] = {}
        depths: list[int] = []
        for r, request in enumerate(self.requests):
            waits = request.when is not None and self.conditions == "wait"
            depths.append(depths[request.when.request] + 1 if waits and request.when is not None else 0)
            waves.setdefault((*_moment(request), depths[r]), []).append(r)
        return [waves[key] for key in sorted(waves)]


def _moment(request: Request) -> tuple[int, float]:
    return request.batch, request.arrival_s


def _check_times(where: str, arrival_s: float, deadline_s: float | None) -> None:
    if not 0 <= arrival_s < math.inf:
        raise ValueError(f"{where}: arrival_s={arrival_s:g} is not a time after the start; give 0 or more seconds")
    if deadline_s is not None and not 0 < deadline_s < math.inf:
        raise ValueError(f"{where}: deadline_s={deadline_s:g} can never be met; give more than 0 seconds")


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request as a suite defines it, before its network is known. Asks of the same `batch` arrive together."""

    network: str
    sample: int = 0
    batch: int = 0
    arrival_s: float = 0.0
    deadline_s: float | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Mix:
    """A workload as a suite defines it, before its networks are known.

    `arrivals` describes the process that gave the arrival times, and `seed` is the seed of its random numbers. Raises
    ValueError unless batches and arrivals are in order.
    """

    name: str
    asks: tuple[Ask, ...]
    loop: Loop = "once"
    arrivals: str = ""
    seed: int | None = None
    conditions: Conditions = "wait"

    def __post_init__(self) -> None:
        """Raise ValueError for mistakes that can be found before the networks are known."""
        for what, name in (("workload", self.name), *(("network", name) for name in self.networks)):
            check(what, name)
        if not self.asks:
            raise ValueError(f"workload {self.name}: it has no requests; give at least one network and one image")
        self.workload(dict.fromkeys(self.networks, _UNKNOWN))

    @classmethod
    def of(cls, name: str, networks: Sequence[str], *, images: int = 1) -> Mix:
        """Return the mix `name` that asks each of `networks`, in order, about the first of `images` images and so on.

        The requests about one image are a batch.
        """
        return cls(name, tuple(Ask(network, image, image) for image in range(images) for network in networks))

    @classmethod
    def load(cls, path: str | Path) -> Mix:
        """Return the mix that a YAML or JSON file describes; see docs/workloads.md. Raises UsageError."""
        from pytest_edgeload.workload import file  # noqa: PLC0415  # the worker needs no YAML

        return file.load(path)

    def arriving(self, process: Process, *, seed: int | None = None, arrivals: str = "") -> Mix:
        """Return the mix in an open loop: each batch arrives at its own time by `process`, even if others still run.

        The same process and seed give the same times. The default of `seed` is the mix's own seed, or 0. `arrivals`
        describes a process that depends on measurements in words that are the same in every session.
        """
        seed = (self.seed or 0) if seed is None else seed
        batches = sorted({ask.batch for ask in self.asks})
        times = dict(zip(batches, process.times(len(batches), seed), strict=True))
        asks = tuple(msgspec.structs.replace(ask, arrival_s=times[ask.batch]) for ask in self.asks)
        return replace(self, asks=asks, loop="open", arrivals=arrivals or str(process), seed=seed)

    def closed(self) -> Mix:
        """Return the mix in a closed loop: each batch arrives when the batch before it is done."""
        seed = None if self.arrivals else self.seed  # the arrivals' seed goes with them
        asks = tuple(msgspec.structs.replace(ask, arrival_s=0.0) for ask in self.asks)
        return replace(self, asks=asks, loop="closed", arrivals="", seed=seed)

    def due(self, deadline_s: float) -> Mix:
        """Return the mix with a deadline for every request, in seconds after its arrival."""
        return replace(self, asks=tuple(msgspec.structs.replace(ask, deadline_s=deadline_s) for ask in self.asks))

    def deciding(self, conditions: Conditions) -> Mix:
        """Return the mix with another way to treat conditions: `wait`, `early` or `ignore`."""
        return replace(self, conditions=conditions)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks, each once, in order of first use."""
        return tuple(dict.fromkeys(ask.network for ask in self.asks))

    @property
    def is_at_once(self) -> bool:
        """Whether all requests arrive at the start and all must be answered."""
        decides = self.conditions != "ignore" and any(ask.when is not None for ask in self.asks)
        return self.loop == "once" and not decides and not any(ask.arrival_s for ask in self.asks)

    @property
    def timeless(self) -> tuple[Ask, ...]:
        """The asks, without arrival times if `arrivals` describes these."""
        return tuple(msgspec.structs.replace(ask, arrival_s=0.0) for ask in self.asks) if self.arrivals else self.asks

    def smallest(self) -> Mix:
        """Return a mix of this mix's first request only, at the start."""
        return Mix(self.name, (Ask(self.asks[0].network, self.asks[0].sample),))

    def workload(self, networks: Mapping[str, Network]) -> Workload:
        """Return the workload, with its names looked up in `networks`. Raises KeyError for an unknown name."""

        def request(ask: Ask) -> Request:
            batch = ask.batch if self.loop == "closed" else 0
            return Request(networks[ask.network], ask.sample, ask.arrival_s, batch, ask.deadline_s, ask.when)

        return Workload(self.name, tuple(map(request, self.asks)), self.conditions)


_UNKNOWN = Network("", (), (), (), (), "", "")
