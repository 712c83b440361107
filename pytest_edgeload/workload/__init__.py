"""The mixes of requests that suites define, and the workloads of requests that they become. Pure data."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import MAX_SEED, BadArgument
from pytest_edgeload.base.text import check
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.workload.arrivals import TIME_UNITS, Clock, Process, in_words, times_of
from pytest_edgeload.workload.request import CONDITIONS, converted, settle
from pytest_edgeload.workload.request import Ask as Ask
from pytest_edgeload.workload.request import Comparison as Comparison
from pytest_edgeload.workload.request import Condition as Condition
from pytest_edgeload.workload.request import Conditions as Conditions
from pytest_edgeload.workload.request import Request as Request
from pytest_edgeload.workload.request import Workload as Workload
from pytest_edgeload.workload.request import awaited_requests as awaited_requests

if TYPE_CHECKING:
    from pytest_edgeload.workload.streams import Stream

Loop = Literal["once", "closed", "open"]
"""How batches arrive: all at the start, each when the last is done, or each at its own time."""

_LOOPS: tuple[Loop, ...] = get_args(Loop)
_CLOCKS: tuple[Clock, ...] = get_args(Clock)


@dataclass(frozen=True, slots=True)
class Mix:
    """A workload as a suite defines it, before its networks are known.

    `arrivals` describes the process that gave the arrival times, and `seed` is the seed of its random numbers. `clock`
    is the unit of arrival times and deadlines: `s`, or `service` for service times. Raises ValueError unless batches
    and arrivals are in order.
    """

    name: str
    asks: tuple[Ask, ...]
    loop: Loop = "once"
    arrivals: str = ""
    seed: int | None = None
    conditions: Conditions = "wait"
    clock: Clock = "s"

    def __post_init__(self) -> None:
        """Raise ValueError for mistakes that can be found before the networks are known."""
        asks = arguments.instances("asks", self.asks, Ask, "give a list such as [Ask('digits')]")
        settle(
            self,
            {
                "name": arguments.text("name", self.name),
                "asks": tuple(self._ask(r, ask) for r, ask in enumerate(asks)),
                "loop": arguments.choice("loop", self.loop, _LOOPS),
                "arrivals": arguments.text("arrivals", self.arrivals),
                "seed": None if self.seed is None else _seed(self.seed),
                "conditions": arguments.choice("conditions", self.conditions, CONDITIONS),
                "clock": arguments.choice("clock", self.clock, _CLOCKS),
            },
        )
        streams = {ask.stream for ask in self.asks if ask.stream}
        for what, names in (("workload", [self.name]), ("network", self.networks), ("stream", sorted(streams))):
            for name in names:
                check(what, name)
        if not self.asks:
            raise ValueError(f"workload {self.name}: it has no requests; give at least one network and one image")
        self.workload(dict.fromkeys(self.networks, _UNKNOWN))

    def _ask(self, r: int, ask: Ask) -> Ask:
        """Return request `r` with plain values."""
        try:
            return msgspec.structs.replace(ask, network=arguments.text("network", ask.network), **converted(ask))
        except BadArgument as error:
            raise error.within(f"workload {self.name}, request {r}", error.hint) from None

    @classmethod
    def of(cls, name: str, networks: Sequence[str] | str, *, images: int = 1, steps: int = 1) -> Mix:
        """Return the mix `name` that asks each of `networks`, in order, about the first of `images` images and so on.

        The requests about one image are a batch. A text names a single network. Each request has `steps` steps.
        """
        names = arguments.texts("networks", networks, "give a list of names of networks")
        count = arguments.whole("images", images, None)
        asks = (Ask(network, image, image, steps=steps) for image in range(count) for network in names)
        return cls(name, tuple(asks))

    @classmethod
    def of_streams(
        cls, name: str, streams: Sequence[Stream], *, duration_s: float, seed: int = 0, clock: Clock = "s"
    ) -> Mix:
        """Return the mix `name` of the requests of `streams` that arrive before `duration_s`, in an open loop.

        `seed` is that of their random numbers. A stream's own depend on its name as well, so another stream or a longer
        duration does not change them. `clock` is the unit of all times. Raises ValueError.
        """
        from pytest_edgeload.workload import streams as making  # noqa: PLC0415  # the worker needs no streams

        seed, streams = _seed(seed), making.checked(streams)
        clock = arguments.choice("clock", clock, _CLOCKS)
        duration_s = arguments.seconds("duration_s", duration_s)
        if not 0 < duration_s < math.inf:
            raise BadArgument.of("duration_s", duration_s, "not positive", "give a number of seconds, such as 10")
        asks = making.asks_of(streams, duration_s, seed)
        if not asks:
            raise BadArgument(f"workload {name}", f"has no request in {duration_s:g} s", "lengthen duration_s")
        words = "; ".join(stream.words(TIME_UNITS[clock]) for stream in streams)
        return cls(name, asks, "open", words, seed, clock=clock)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mix:
        """Return the mix that a YAML or JSON file describes; see docs/workloads.md. Raises UsageError."""
        from pytest_edgeload.workload import file  # noqa: PLC0415  # the worker needs no YAML

        return file.load(arguments.path("path", path))

    def arriving(self, process: Process, *, seed: int | None = None, arrivals: str = "") -> Mix:
        """Return the mix in an open loop: each batch arrives at its own time by `process`, even if others still run.

        The same process and seed give the same times. The default of `seed` is the mix's own seed, or 0. `arrivals`
        describes a process that depends on measurements in words that are the same in every session.
        """
        seed = _seed((self.seed or 0) if seed is None else seed)
        batches = sorted({ask.batch for ask in self.asks})
        times = dict(zip(batches, times_of(process, len(batches), seed), strict=True))
        asks = tuple(msgspec.structs.replace(ask, arrival_s=times[ask.batch]) for ask in self.asks)
        words = arrivals or in_words(process, TIME_UNITS[self.clock])
        return replace(self, asks=asks, loop="open", arrivals=words, seed=seed)

    def in_service_times(self) -> Mix:
        """Return the mix with service times as the unit of the arrivals and deadlines that it gets afterwards.

        A service time is the mean time that one batch of the mix takes alone on this machine; see `Edge.service_s`. It
        is measured once per session, so the mix is the same load, and the same case, on fast and slow machines. Raises
        ValueError if the mix has times already.
        """
        if self.arrivals or any(ask.arrival_s or ask.deadline_s for ask in self.asks):
            hint = "call in_service_times() before arriving() and due()"
            if any(ask.stream for ask in self.asks):
                hint = "give of_streams clock='service'"
            raise BadArgument(f"workload {self.name}", "has times in seconds", hint)
        return replace(self, clock="service")

    def closed(self) -> Mix:
        """Return the mix in a closed loop: each batch arrives when the batch before it is done."""
        seed = None if self.arrivals else self.seed  # the arrivals' seed goes with them
        asks = tuple(msgspec.structs.replace(ask, arrival_s=0.0) for ask in self.asks)
        return replace(self, asks=asks, loop="closed", arrivals="", seed=seed)

    def due(self, deadline_s: float) -> Mix:
        """Return the mix with a deadline for every request, in seconds (or service times) after its arrival."""
        deadline_s = arguments.seconds("deadline_s", deadline_s)
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

    def per_batch(self, request_s: Mapping[str, float]) -> float:
        """Return the mean over batches of the sum over requests, given the seconds of a request by network."""
        return sum(request_s[ask.network] for ask in self.asks) / len({ask.batch for ask in self.asks})

    def smallest(self) -> Mix:
        """Return a mix of this mix's first request only, at the start."""
        return Mix(self.name, (Ask(self.asks[0].network, self.asks[0].sample),))

    def beginning(self, count: int) -> Mix:
        """Return the mix of the first `count` requests of this mix, which arrive in this order. Raises ValueError."""
        return replace(self, asks=self.asks[:count])

    def workload(self, networks: Mapping[str, Network], *, service_s: float = 1.0) -> Workload:
        """Return the workload, with its names looked up in `networks`. Raises KeyError for an unknown name.

        A service time, if that is the mix's unit of times, is `service_s` seconds.
        """
        unit_s = service_s if self.clock == "service" else 1.0

        def request(ask: Ask) -> Request:
            batch = ask.batch if self.loop == "closed" else 0
            deadline_s = None if ask.deadline_s is None else ask.deadline_s * unit_s
            arrival_s = ask.arrival_s * unit_s
            network, rest = networks[ask.network], (ask.when, ask.steps, ask.feeds, ask.stream, ask.queue, ask.after)
            return Request(network, ask.sample, arrival_s, batch, deadline_s, *rest)

        return Workload(self.name, tuple(map(request, self.asks)), self.conditions)


def _seed(seed: int) -> int:
    return arguments.whole("seed", seed, at_most=MAX_SEED)


_UNKNOWN = Network("", (), (), (), (), "", "")
