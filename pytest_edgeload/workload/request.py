"""Requests of networks, and the workloads that they form. Pure data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args

import msgspec
from msgspec.structs import force_setattr

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import MAX_INDEX, BadArgument
from pytest_edgeload.networks.feed import Feed, feeders
from pytest_edgeload.networks.layer import Network

Comparison = Literal[">", ">=", "<", "<="]

Conditions = Literal["wait", "early", "ignore"]
"""How conditions are treated: their requests wait for the answer that decides; they start along with the request that
gives it, and are dropped late; or their condition is ignored."""

_COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)
CONDITIONS: tuple[Conditions, ...] = get_args(Conditions)


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
        settle(self, converted(self))


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests in order of arrival, and how conditions are treated. Raises ValueError unless valid."""

    name: str
    requests: tuple[Request, ...]
    conditions: Conditions = "wait"

    def __post_init__(self) -> None:
        """Raise ValueError unless times, conditions and the order are valid."""
        requests = arguments.instances("requests", self.requests, Request, "give a list of Request(...)")
        settle(self, {"name": arguments.text("name", self.name), "requests": requests})
        settle(self, {"conditions": arguments.choice("conditions", self.conditions, CONDITIONS)})
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


def converted(asked: Ask | Request) -> dict[str, Any]:
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


def settle(frozen: object, values: Mapping[str, Any]) -> None:
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
