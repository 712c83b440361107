"""Workload files: a mix as YAML or JSON. Each mistake gets one sentence with its line.

The structs are the format, and `schema` publishes them. Text becomes values, values become structs, and structs become
a mix; only `load` reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Ask, Comparison, Condition, Conditions, Mix
from pytest_edgeload.workload.arrivals import Clock, RecordedUnit
from pytest_edgeload.workload.arrivals_entry import (
    PROCESS_BY_TAG,
    Arrivals,
    Index,
    InputName,
    Seconds,
    Seed,
    Steps,
    Text,
    process_of,
    times_path,
)
from pytest_edgeload.workload.source import Place, Source
from pytest_edgeload.workload.stream_file import StreamEntry, StreamsDocument, TriggerCondition, mix_of_streams

Images = Annotated[int, Meta(ge=1, le=10_000)]
Loop = Literal["once", "closed"]
FeedRule = Literal["same", "argmax"]


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the largest value in a part of an earlier request's output must compare with `value`."""

    request: Text
    value: float
    comparison: Comparison = ">"
    output: Index = 0
    at: tuple[Index, ...] = ()


class FeedEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An output of an earlier request, which an input becomes; see `Feed`."""

    request: Text
    output: Index = 0
    rule: FeedRule = "same"


class RequestEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request. Later requests refer to it by its label `as`, or by its network's name if it has no label.

    `feeds` has the earlier request, or its label, by the position or keyword of the input that it gives.
    """

    network: Text
    label: Text | UnsetType = msgspec.field(default=UNSET, name="as")
    sample: Index | UnsetType = UNSET
    deadline_s: Seconds | UnsetType = UNSET
    when: When | UnsetType = UNSET
    steps: Steps = 1
    feeds: dict[InputName, Text | FeedEntry] | UnsetType = UNSET

    @property
    def known_as(self) -> str:
        """The name by which later requests refer to this one."""
        return self.network if self.label is UNSET else self.label


class WorkloadDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A workload: its requests, repeated for each image, and their arrivals."""

    requests: Annotated[tuple[Text | RequestEntry, ...], Meta(min_length=1)]
    name: Text | UnsetType = UNSET
    images: Images = 1
    conditions: Conditions = "wait"
    loop: Loop | UnsetType = UNSET
    clock: Clock = "s"
    arrivals: Arrivals | UnsetType = UNSET
    seed: Seed | UnsetType = UNSET
    deadline_s: Seconds | UnsetType = UNSET


_CHOICES = {
    "conditions": get_args(Conditions),
    "loop": (*get_args(Loop), "and `arrivals` for an open one"),
    "comparison": get_args(Comparison),
    "clock": get_args(Clock),
    "unit": get_args(RecordedUnit),
    "process": tuple(PROCESS_BY_TAG),
    "rule": get_args(FeedRule),
}
_FIELDS: dict[str, type[msgspec.Struct]] = {
    r"\$": WorkloadDocument,
    r"\$\.requests\[\d+\]": RequestEntry,
    r"\$\.requests\[\d+\]\.when": When,
    r"\$\.requests\[\d+\]\.feeds\.\w+": FeedEntry,
    r"\$\.streams\[\d+\]": StreamEntry,
    r"\$\.streams\[\d+\]\.when": TriggerCondition,
}
"""The mappings of a file, by the pattern of their paths."""

_MAX_JSON_BYTES = 1 << 22
_MAX_YAML_BYTES = 1 << 18  # seconds for the parser, and several times what 10,000 images with arrivals take
_KINDS = {"int": "a whole number", "float": "a number", "str": "text", "object": "a mapping", "array": "a list"}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a workload file."""
    forms, structs = msgspec.json.schema_components((WorkloadDocument, StreamsDocument), ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": [*forms], "$defs": structs}


def load(path: str | Path) -> Mix:
    """Return the mix in a file of YAML (`.yaml`, `.yml`) or JSON (`.json`). Raises UsageError."""
    try:
        max_bytes = _MAX_JSON_BYTES if PurePath(path).suffix == ".json" else _MAX_YAML_BYTES
        text = files.read(Path(path), max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}", "a byte that is not UTF-8", "save the file as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(str(path), reason[:1].lower() + reason[1:], "give a file of YAML or JSON") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Mix:
    """Return the mix that `text` describes. `file` is its name in errors, and its suffix sets the format."""
    source = Source(text, file)
    stem = PurePath(file).stem
    try:
        if _lists_streams(source):
            return mix_of_streams(msgspec.convert(source.value, StreamsDocument), stem, source)
        return _mix(msgspec.convert(source.value, WorkloadDocument), stem, source)
    except msgspec.ValidationError as error:
        raise _explained(str(error), source) from None


def _lists_streams(source: Source) -> bool:
    return isinstance(source.value, dict) and "streams" in source.value


def _mix(document: WorkloadDocument, stem: str, source: Source) -> Mix:
    requests = [RequestEntry(request) if isinstance(request, str) else request for request in document.requests]
    whens = [_condition(requests, r, source) for r in range(len(requests))]
    feeds = [_feeds(requests, r, source) for r in range(len(requests))]

    def ask(image: int, r: int) -> Ask:
        request, when, first = requests[r], whens[r], image * len(requests)
        if when is not None:
            when = msgspec.structs.replace(when, request=first + when.request)
        fed = tuple(msgspec.structs.replace(feed, request=first + (feed.request or 0)) for feed in feeds[r])
        deadline_s = document.deadline_s if request.deadline_s is UNSET else request.deadline_s
        sample = image if request.sample is UNSET else request.sample
        due_s = None if deadline_s is UNSET else deadline_s
        return Ask(request.network, sample, image, 0.0, due_s, when, request.steps, fed)

    asks = tuple(ask(image, r) for image in range(document.images) for r in range(len(requests)))
    try:
        name = stem if document.name is UNSET else document.name
        mix = Mix(name, asks, conditions=document.conditions, clock=document.clock)
    except ValueError as error:  # the name is not a valid one
        raise source.error("$.name" if "$.name" in source else "$", str(error)) from None
    if document.arrivals is UNSET:
        if document.seed is not UNSET:
            raise source.error("$.seed", "decides nothing without arrivals", "leave it out or give `arrivals`")
        return mix.closed() if document.loop == "closed" else mix
    if document.loop is not UNSET:
        raise source.error("$.loop", "arrivals make the loop open", "leave out `loop` or `arrivals`")
    process = process_of(document.arrivals, source, "$.arrivals")
    try:
        return mix.arriving(process, seed=0 if document.seed is UNSET else document.seed)
    except ValueError as error:
        raise source.error(times_path(source, "$.arrivals"), str(error)) from None


def _condition(requests: Sequence[RequestEntry], r: int, source: Source) -> Condition | None:
    """Return the condition of request `r` on one of the requests before it."""
    when = requests[r].when
    if when is UNSET:
        return None
    earlier = _earlier(requests, r, when.request, f"$.requests[{r}].when.request", "decide", source)
    return Condition(earlier, when.value, when.comparison, when.output, when.at)


def _feeds(requests: Sequence[RequestEntry], r: int, source: Source) -> list[Feed]:
    """Return the feeds of request `r` from requests before it."""
    entries, found = requests[r].feeds, list[Feed]()
    for name, entry in {}.items() if entries is UNSET else entries.items():
        path = f"$.requests[{r}].feeds.{name}"
        feed, place = (FeedEntry(entry), path) if isinstance(entry, str) else (entry, f"{path}.request")
        earlier = _earlier(requests, r, feed.request, place, "feed it", source)
        found.append(Feed(int(name) if name.isdecimal() else name, feed.output, feed.rule, earlier))
    return found


def _earlier(requests: Sequence[RequestEntry], r: int, name: str, path: str, verb: str, source: Source) -> int:
    """Return the index of the request before `r` that is known as `name`. Raises UsageError about `path`."""
    earlier = [request.known_as for request in requests[:r]]
    candidates = [index for index, known_as in enumerate(earlier) if known_as == name]
    if not candidates:
        is_later = not earlier or name in {request.known_as for request in requests[r:]}
        names = [*dict.fromkeys(earlier)]
        hint = f"only an earlier one can {verb}" if is_later else suggestion(name, names, min_likeness=0.5)
        raise source.error(path, f"{name!r} is not an earlier request", hint)
    if len(candidates) > 1:
        several = " or ".join(f"requests[{index}]" for index in candidates)
        raise source.error(path, f"{name!r} may be {several}", "give each its own label with `as`")
    return candidates[0]


def _explained(error: str, source: Source) -> UsageError:
    """Return msgspec's `error` in our words, with its line and a hint."""
    message, _, path = error.removesuffix("`").rpartition(" - at `")
    if path.startswith("key` in `"):  # only feeds have keys of their own
        path = path.removeprefix("key` in `")
        name = next(name for name in source[path].value if not re.fullmatch(r"\w+", name))
        return source.error(path, f"{name!r} is not the name of an input", "give its keyword or position", key=name)
    path = _with_key(path, source)
    if not path.startswith("$") or path not in source:  # msgspec gives no path for the root
        message, path = error, "$"
    place = source[path]
    if match := re.fullmatch("Object contains unknown field `(.*)`", message):
        name = match[1]
        return source.error(path, f"{name!r} is not a field", suggestion(name, _fields(path, source)), key=name)
    if match := re.fullmatch("Object missing required field `(.*)`", message):
        return source.error(path, f"{match[1]!r} is missing", "add it")
    if re.match("Invalid (enum )?value", message):
        choices = _CHOICES[path.rpartition(".")[2]]
        return source.error(path, f"{place.shown} is not a choice", suggestion(place.value, choices))
    if match := re.fullmatch("Expected `(.*?)`(?:, got `.*`)?(.*)", message):
        kind = re.sub(r"\w+", lambda word: _KINDS.get(word[0], word[0]), match[1]).replace(" | ", " or ")
        return source.error(path, f"{place.shown} is not {kind}{match[2]}", _spelling(place, match[1]))
    field = message.partition("=")[0].partition(" ")[0]  # an arrival process begins with the field that it refuses
    path = f"{path}.{field}" if f"{path}.{field}" in source else path
    return source.error(path, message.removeprefix(f"{field}="))


def _with_key(path: str, source: Source) -> str:
    """Return msgspec's path with the name of the input whose feed is not valid, which msgspec leaves out."""
    head, gap, rest = path.partition("[...]")
    if gap:
        kind: Any = Text | FeedEntry if head.startswith("$.requests") else Index
        for name, feed in source[head].value.items():
            try:
                msgspec.convert(feed, kind)
            except msgspec.ValidationError:
                return f"{head}.{name}{rest}"
    return path


def _spelling(place: Place, kind: str) -> str:
    if "str" in kind and isinstance(place.value, (bool, int, float)):
        return f'write it in quotes: "{place.shown}"'
    if kind in {"int", "float"} and isinstance(place.value, str) and re.fullmatch(r"[-+.\deE]*\d", place.value):
        return "write it without quotes"
    return "give one"


def _fields(path: str, source: Source) -> Sequence[str]:
    """Return the names of the fields that the mapping at `path` may have."""
    if path.endswith(".arrivals"):
        process = PROCESS_BY_TAG[source[f"{path}.process"].value]
        return "process", *process.__struct_encode_fields__
    if path == "$" and _lists_streams(source):
        return StreamsDocument.__struct_encode_fields__
    return next(kind.__struct_encode_fields__ for pattern, kind in _FIELDS.items() if re.fullmatch(pattern, path))
