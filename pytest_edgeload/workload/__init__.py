"""Requests of networks, the workloads that they form, and the mixes that suites define. Pure data."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import msgspec
from msgspec.structs import force_setattr

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import MAX_INDEX, MAX_SEED, BadArgument
from pytest_edgeload.base.text import check
from pytest_edgeload.networks.feed import Feed, feeders
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.workload.arrivals import TIME_UNITS, Clock, Process, in_words, times_of

if TYPE_CHECKING:
    from pytest_edgeload.workload.streams import Stream

Comparison = Literal[">", ">=", "<", "<="]

Conditions = Literal["wait", "early", "ignore"]
"""How conditions are treated: their requests wait for the answer that decides; they start along with the request that
gives it, and are dropped late; or their condition is ignored."""

Loop = Literal["once", "closed", "open"]
"""How batches arrive: all at the start, each when the last is done, or each at its own time."""


_COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)
_CONDITIONS: tuple[Conditions, ...] = get_args(Conditions)
_LOOPS: tuple[Loop, ...] = get_args(Loop)
_CLOCKS: tuple[Clock, ...] = get_args(Clock)


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
        force_setattr(self, "request", _index("request", self.request))
        force_setattr(self, "value", arguments.number("value", self.value))
        force_setattr(self, "comparison", arguments.choice("comparison", self.comparison, _COMPARISONS))
        force_setattr(self, "output", _index("output", self.output))
        indices = enumerate(arguments.items("at", self.at, "give a list of indices, such as (0, 1)"))
        force_setattr(self, "at", tuple(_index(f"at[{i}]", index) for i, index in indices))
        if not math.isfinite(self.value):
            raise ValueError(f"a condition compares with value={self.value:g}; give a finite number")


def _index(name: str, value: Any) -> int:
    return arguments.whole(name, value, None, MAX_INDEX)  # a negative one is refused later, with its request


@dataclass(frozen=True, slots=True)
class Request:
    """One inference of `network`, on the sample with this index (modulo the number of samples).

    It arrives `arrival_s` seconds after its `batch` begins: batch 0 at the start, each other batch when all batches
    before it are done. It is late if it is answered more than `deadline_s` seconds after its arrival, and it is dropped
    if the condition `when` fails. In each of its `steps` the network runs once; from the second on, the step before
    gives inputs to it, as `Network.feeds` says. Before the first, `feeds` replace inputs of the sample by outputs of
    earlier requests; it waits for these, and is dropped if one of them is.

    If the request `after` triggers it, it does not arrive before that one is answered, and is dropped with it. When it
    arrives, of the requests of its `stream` that wait, only the newest `queue` stay (None: all of them); older ones are
    dropped. A request waits until its first load or exec begins.
    """

    network: Network
    sample: int = 0
    arrival_s: float = 0.0
    batch: int = 0
    deadline_s: float | None = None
    when: Condition | None = None
    steps: int = 1
    feeds: tuple[Feed, ...] = ()
    stream: str = ""
    queue: int | None = None
    after: int | None = None

    def __post_init__(self) -> None:
        """Convert numbers. Raise BadArgument for values of other types."""
        arguments.instance("network", self.network, Network, "give a Network; a Mix takes names")
        _settle(self, _converted(self))


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests in order of arrival, and how conditions are treated. Raises ValueError unless valid."""

    name: str
    requests: tuple[Request, ...]
    conditions: Conditions = "wait"

    def __post_init__(self) -> None:
        """Raise ValueError unless times, conditions and the order are valid."""
        requests = arguments.instances("requests", self.requests, Request, "give a list of Request(...)")
        _settle(self, {"name": arguments.text("name", self.name), "requests": requests})
        _settle(self, {"conditions": arguments.choice("conditions", self.conditions, _CONDITIONS)})
        for r, request in enumerate(self.requests):
            _check_times(f"workload {self.name}, request {r}", request.arrival_s, request.deadline_s)
            if request.when is not None and not 0 <= request.when.request < r:
                raise ValueError(
                    f"workload {self.name}, request {r}: its condition asks request {request.when.request}; "
                    "only an earlier one can decide"
                )
            if request.after is not None and request.after >= r:
                raise ValueError(
                    f"workload {self.name}, request {r}: it comes after request {request.after}; "
                    "only an earlier one can trigger it"
                )
            for feed in request.feeds:
                if feed.request is not None and feed.request >= r:
                    raise ValueError(
                        f"workload {self.name}, request {r}: its input {feed.input} comes from request {feed.request}; "
                        "only an earlier one can feed it"
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
            sources = awaited_requests(request)
            if request.when is not None and self.conditions == "wait":
                sources.add(request.when.request)
            depths.append(max((depths[source] + 1 for source in sources), default=0))
            waves.setdefault((*_moment(request), depths[r]), []).append(r)
        return [waves[key] for key in sorted(waves)]


class _Dependent(Protocol):
    """A request that may wait for the answers of others."""

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """The inputs that come from earlier requests."""

    @property
    def after(self) -> int | None:
        """The request that triggers it."""


def awaited_requests(request: _Dependent) -> set[int]:
    """Return the earlier requests, as indices, whose answers `request` waits for: they feed it or trigger it."""
    return feeders(request.feeds) | (set() if request.after is None else {request.after})


def _converted(asked: Ask | Request) -> dict[str, Any]:
    """Return the fields that both classes have, as plain values. Raises BadArgument."""
    if not isinstance(asked.when, Condition | None):
        raise BadArgument.of("when", asked.when, "not a condition", "give one such as Condition(0, 0.5)")
    if asked.queue is not None and not asked.stream:
        raise BadArgument.of("queue", asked.queue, "for requests without a stream", "name their stream")
    return {
        "sample": arguments.whole("sample", asked.sample, at_most=MAX_INDEX),
        "batch": arguments.whole("batch", asked.batch, at_most=MAX_INDEX),
        "steps": arguments.whole("steps", asked.steps, 1, MAX_INDEX),
        "feeds": _feeds(asked.feeds),
        "stream": arguments.text("stream", asked.stream),
        "queue": None if asked.queue is None else arguments.whole("queue", asked.queue, 1, MAX_INDEX),
        "after": None if asked.after is None else arguments.whole("after", asked.after, 0, MAX_INDEX),
        "arrival_s": arguments.seconds("arrival_s", asked.arrival_s),
        "deadline_s": arguments.optional(arguments.seconds, "deadline_s", asked.deadline_s),
    }


def _feeds(value: Any) -> tuple[Feed, ...]:
    """Return the feeds of a request. Raises BadArgument."""
    hint = "give a list such as [Feed('states', request=0)]"
    feeds = arguments.instances("feeds", value, Feed, hint)
    for feed in feeds:
        if feed.request is None:
            raise BadArgument.of("feeds", feed.input, "does not name the request that it comes from", hint)
    if len({feed.input for feed in feeds}) < len(feeds):
        raise BadArgument("feeds", "two of them are for the same input", "leave one out")
    return feeds


def _settle(frozen: Request | Workload | Mix, values: Mapping[str, Any]) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)


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
    steps: int = 1
    feeds: tuple[Feed, ...] = ()
    stream: str = ""
    queue: int | None = None
    after: int | None = None


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
        _settle(
            self,
            {
                "name": arguments.text("name", self.name),
                "asks": tuple(self._ask(r, ask) for r, ask in enumerate(asks)),
                "loop": arguments.choice("loop", self.loop, _LOOPS),
                "arrivals": arguments.text("arrivals", self.arrivals),
                "seed": None if self.seed is None else _seed(self.seed),
                "conditions": arguments.choice("conditions", self.conditions, _CONDITIONS),
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
            return msgspec.structs.replace(ask, network=arguments.text("network", ask.network), **_converted(ask))
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
