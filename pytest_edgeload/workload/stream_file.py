"""The form of a workload file that lists streams, and the mix that it describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Comparison, Condition, Conditions, Mix
from pytest_edgeload.workload.arrivals import Clock
from pytest_edgeload.workload.arrivals_entry import (
    Arrivals,
    Index,
    InputName,
    Seconds,
    Seed,
    Steps,
    Text,
    process_of,
)
from pytest_edgeload.workload.source import Source
from pytest_edgeload.workload.streams import Stream, trigger_hint

Queue = Annotated[int, Meta(ge=1, lt=1 << 31)]
Start = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(gt=0, le=1)]


class TriggerCondition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the largest value in a part of the trigger's output must compare with `value`."""

    value: float
    comparison: Comparison = ">"
    output: Index = 0
    at: tuple[Index, ...] = ()


class StreamEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream; without a name, it has that of its network. `feeds` has outputs of its trigger by input."""

    network: Text
    name: Text | UnsetType = UNSET
    arrivals: Arrivals | UnsetType = UNSET
    start_s: Start = 0.0
    deadline_s: Seconds | UnsetType = UNSET
    queue: Queue | UnsetType = UNSET
    steps: Steps = 1
    after: Text | UnsetType = UNSET
    probability: Probability = 1.0
    when: TriggerCondition | UnsetType = UNSET
    feeds: dict[InputName, Index] | UnsetType = UNSET

    @property
    def known_as(self) -> str:
        """The name of the stream."""
        return self.network if self.name is UNSET else self.name


class StreamsDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A workload of streams: their requests that arrive before `duration_s`."""

    streams: Annotated[tuple[StreamEntry, ...], Meta(min_length=1)]
    duration_s: Seconds
    name: Text | UnsetType = UNSET
    conditions: Conditions = "wait"
    clock: Clock = "s"
    seed: Seed = 0
    deadline_s: Seconds | UnsetType = UNSET


def mix_of_streams(document: StreamsDocument, stem: str, source: Source) -> Mix:
    """Return the mix of the streams; its name is `stem` unless it has its own. Raises UsageError."""
    names = [entry.known_as for entry in document.streams]
    streams = []
    for i, entry in enumerate(document.streams):
        _check_names(entry, names, i, source)
        streams.append(_stream(entry, f"$.streams[{i}]", document.deadline_s, source))
    name, times = stem if document.name is UNSET else document.name, (document.duration_s, document.seed)
    try:
        mix = Mix.of_streams(name, streams, duration_s=times[0], seed=times[1], clock=document.clock)
    except BadArgument as error:
        raise source.error("$.duration_s", str(error)) from None
    except ValueError as error:  # the name is not a valid one
        raise source.error("$.name" if "$.name" in source else "$", str(error)) from None
    return mix.deciding(document.conditions)


def _check_names(entry: StreamEntry, names: Sequence[str], i: int, source: Source) -> None:
    """Raise UsageError if stream `i` of `names` has the name of one before it, or its trigger is not before it."""
    path, earlier = f"$.streams[{i}]", names[:i]
    if entry.known_as in earlier:
        field = "network" if entry.name is UNSET else "name"
        raise source.error(f"{path}.{field}", f"{entry.known_as!r} is the name of another stream", "give each a `name`")
    if entry.after is not UNSET and entry.after not in earlier:
        hint = trigger_hint(entry.after, earlier, names)
        raise source.error(f"{path}.after", f"{entry.after!r} is not an earlier stream", hint)


def _stream(entry: StreamEntry, path: str, deadline_s: float | UnsetType, source: Source) -> Stream:
    """Return the stream at `path`, with this deadline unless it has its own. Raises UsageError."""
    arrivals = None if entry.arrivals is UNSET else process_of(entry.arrivals, source, f"{path}.arrivals")
    deadline_s = deadline_s if entry.deadline_s is UNSET else entry.deadline_s
    when, feeds = entry.when, {} if entry.feeds is UNSET else entry.feeds
    try:
        return Stream(
            entry.known_as,
            entry.network,
            arrivals,
            entry.start_s,
            None if deadline_s is UNSET else deadline_s,
            None if entry.queue is UNSET else entry.queue,
            entry.steps,
            None if entry.after is UNSET else entry.after,
            entry.probability,
            None if when is UNSET else Condition(0, when.value, when.comparison, when.output, when.at),
            tuple(Feed(int(name) if name.isdecimal() else name, feeds[name], request=0) for name in feeds),
        )
    except ValueError as error:
        raise source.error(path, str(error)) from None
