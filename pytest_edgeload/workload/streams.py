"""Streams: requests of one network at a rate of its own, possibly triggered by another stream. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from itertools import chain, count
from typing import Any

import msgspec

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import MAX_INDEX, BadArgument
from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.base.text import check
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Ask, Condition
from pytest_edgeload.workload.arrivals import Process, TimeUnit, exact, in_words, times_until

MAX_REQUESTS = 100_000
"""The most requests of a mix of streams."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one network: they arrive by a process of their own, or are triggered by answers of another stream.

    The process `arrivals` begins `start_s` seconds after the start. Or `after` names the stream that triggers this one:
    each of its answers does so with this `probability`, and if it meets the condition `when`. In `when` and `feeds`,
    request 0 is the one that triggers.

    A request is late if it is answered more than `deadline_s` seconds after its arrival: by default, the mean interval
    of `arrivals`, or the deadline of the stream that triggers. Of the requests that wait, only the newest `queue` stay
    (None: all of them). Each request has `steps` steps. Raises ValueError for values that do not go together.
    """

    name: str
    network: str
    arrivals: Process | None = None
    start_s: float = 0.0
    deadline_s: float | None = None
    queue: int | None = None
    steps: int = 1
    after: str | None = None
    probability: float = 1.0
    when: Condition | None = None
    feeds: tuple[Feed, ...] = ()

    def __post_init__(self) -> None:
        """Convert numbers. Raise ValueError for values of other types, or that do not go together."""
        check("stream", arguments.text("name", self.name))
        try:
            for name, value in _converted(self).items():
                object.__setattr__(self, name, value)
            _check(self)
        except BadArgument as error:
            raise error.within(f"stream {self.name}", error.hint) from None

    def words(self, unit: TimeUnit) -> str:
        """Return the source of the requests in words, with its times in this unit."""
        if self.arrivals is not None:
            start = f", from {exact(self.start_s)} {unit.many}" if self.start_s else ""
            return f"{self.name}: {in_words(self.arrivals, unit)}{start}"
        chance = f", probability {exact(self.probability)}" if self.probability < 1 else ""
        return f"{self.name}: after {self.after}{chance}"


_TRIGGERED = ("probability", "when", "feeds")
"""The fields of a stream that another one triggers."""


def _converted(stream: Stream) -> dict[str, Any]:
    """Return fields of `stream` as plain values. Raises BadArgument."""
    return {
        "network": arguments.text("network", stream.network),
        "start_s": arguments.seconds("start_s", stream.start_s),
        "deadline_s": arguments.optional(arguments.seconds, "deadline_s", stream.deadline_s),
        "queue": None if stream.queue is None else arguments.whole("queue", stream.queue, 1, MAX_INDEX),
        "steps": arguments.whole("steps", stream.steps, 1, MAX_INDEX),
        "after": arguments.optional(arguments.text, "after", stream.after),
        "probability": arguments.number("probability", stream.probability),
        "feeds": arguments.instances("feeds", stream.feeds, Feed, "give a list such as [Feed('states', request=0)]"),
    }


def _check(stream: Stream) -> None:
    """Raise BadArgument unless the values are valid and go together."""
    if (stream.arrivals is None) == (stream.after is None):
        reason = "has neither `arrivals` nor `after`" if stream.after is None else "has both `arrivals` and `after`"
        raise BadArgument("", reason, "give one of them")
    if not 0 <= stream.start_s < math.inf:
        raise BadArgument.of("start_s", stream.start_s, "not a time after the start", "give 0 or more seconds")
    if stream.deadline_s is not None and not 0 < stream.deadline_s < math.inf:
        raise BadArgument.of("deadline_s", stream.deadline_s, "can never be met", "give more than 0 seconds")
    if not 0 < stream.probability <= 1:
        raise BadArgument.of("probability", stream.probability, "not above 0 and at most 1", "give one such as 0.5")
    wrong, needed = (_TRIGGERED, "after") if stream.after is None else (("start_s",), "arrivals")
    for field in fields(Stream):
        if field.name in wrong and getattr(stream, field.name) != field.default:
            raise BadArgument("", f"has `{field.name}` but not `{needed}`", f"give `{needed}`, or leave it out")
    sources = [feed.request for feed in stream.feeds] + ([] if stream.when is None else [stream.when.request])
    for source in sources:
        if source != 0:
            raise BadArgument("", f"depends on request {source}", "name request 0, which is the one that triggers")


def checked(streams: Sequence[Stream]) -> tuple[Stream, ...]:
    """Return the streams of a mix. Raises BadArgument if names are repeated, or a trigger is not further up."""
    streams = arguments.instances("streams", streams, Stream, "give a list such as [Stream('camera', ...)]")
    if not streams:
        raise BadArgument("streams", "are empty", "give at least one")
    names: list[str] = []
    for stream in streams:
        if stream.name in names:
            raise BadArgument(f"stream {stream.name}", "has the name of another one", "give each its own")
        if stream.after is not None and stream.after not in names:
            hint = trigger_hint(stream.after, names, [other.name for other in streams])
            raise BadArgument(f"stream {stream.name}", f"after={stream.after!r} is not an earlier stream", hint)
        names.append(stream.name)
    return streams


def trigger_hint(after: str, earlier: Sequence[str], names: Sequence[str]) -> str:
    """Return the hint about a trigger `after` that is not one of the streams before."""
    return "list it after the stream that triggers it" if after in names else suggestion(after, [*earlier])


@dataclass(slots=True, eq=False)
class _Arrival:
    """A request of a stream: its sample, its moment, and the request that triggers it."""

    stream: Stream
    sample: int
    arrival_s: float
    trigger: _Arrival | None


def asks_of(streams: Sequence[Stream], duration_s: float, seed: int) -> tuple[Ask, ...]:
    """Return the requests that arrive before `duration_s`, in order; a triggered one follows its trigger.

    A stream's random numbers depend on the seed and its name, so other streams, and a longer duration, do not change
    them. A request and all that it triggers are a batch. Raises BadArgument.
    """
    arrivals: dict[str, list[_Arrival]] = {}
    for stream in streams:
        arrivals[stream.name] = list(_arrivals(stream, arrivals, duration_s, seed))
        if sum(map(len, arrivals.values())) > MAX_REQUESTS:
            raise BadArgument("streams", f"have more than {MAX_REQUESTS} requests", "shorten duration_s")
    found = sorted(chain(*arrivals.values()), key=lambda arrival: arrival.arrival_s)  # stable: triggers come first
    deadlines_s = _deadlines_s(streams)
    index = {id(arrival): i for i, arrival in enumerate(found)}
    new_batch = count()
    batches: list[int] = []
    asks: list[Ask] = []
    for arrival in found:
        trigger = None if arrival.trigger is None else index[id(arrival.trigger)]
        batches.append(next(new_batch) if trigger is None else batches[trigger])
        asks.append(_ask(arrival, trigger, batches[-1], deadlines_s[arrival.stream.name]))
    return tuple(asks)


def _arrivals(stream: Stream, earlier: dict[str, list[_Arrival]], duration_s: float, seed: int) -> Iterator[_Arrival]:
    """Yield the requests of `stream`, given those of the streams before it."""
    own_seed = int.from_bytes(sha256(f"{seed} {stream.name}".encode()).digest()[:6])
    if stream.arrivals is not None:
        left_s = max(0.0, duration_s - stream.start_s)
        for k, at_s in enumerate(_times(stream, stream.arrivals, left_s, own_seed)):
            yield _Arrival(stream, k, stream.start_s + at_s, None)
        return
    source = random.Random(own_seed)  # noqa: S311  # nothing here is secret
    for trigger in earlier[stream.after or ""]:
        if source.random() < stream.probability:
            yield _Arrival(stream, trigger.sample, trigger.arrival_s, trigger)


def _times(stream: Stream, process: Process, end_s: float, seed: int) -> Sequence[float]:
    """Return the times of a stream's own process. Raises BadArgument."""
    try:
        return times_until(process, end_s, MAX_REQUESTS, seed)
    except BadArgument as error:
        raise error.within(f"stream {stream.name}", error.hint) from None


def _deadlines_s(streams: Sequence[Stream]) -> dict[str, float | None]:
    """Return the deadline of each stream: its own, the mean interval of its process, or that of its trigger."""
    found: dict[str, float | None] = {}
    for stream in streams:
        default_s = found.get(stream.after or "") if stream.after else getattr(stream.arrivals, "mean_s", None)
        found[stream.name] = default_s if stream.deadline_s is None else stream.deadline_s
    return found


def _ask(arrival: _Arrival, trigger: int | None, batch: int, deadline_s: float | None) -> Ask:
    """Return the request of `arrival`; `trigger` is the index of the request that triggers it."""
    stream, when, feeds = arrival.stream, arrival.stream.when, arrival.stream.feeds
    if trigger is not None:
        when = None if when is None else msgspec.structs.replace(when, request=trigger)
        feeds = tuple(msgspec.structs.replace(feed, request=trigger) for feed in feeds)
    return Ask(
        stream.network,
        arrival.sample,
        batch,
        arrival.arrival_s,
        deadline_s,
        when,
        stream.steps,
        feeds,
        stream.name,
        stream.queue,
        trigger,
    )
