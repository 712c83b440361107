"""Workload files: a mix as YAML or JSON, and one sentence with its line for whatever is wrong there.

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
from pytest_edgeload.workload import Ask, Comparison, Condition, Conditions, Mix
from pytest_edgeload.workload.arrivals import PROCESSES, Constant, Exponential, Normal, Poisson, Trace, Uniform
from pytest_edgeload.workload.places import Place, Places, fault, read

Text = Annotated[str, Meta(min_length=1)]
Index = Annotated[int, Meta(ge=0, lt=1 << 31)]
Images = Annotated[int, Meta(ge=1, le=10_000)]
Seed = Annotated[int, Meta(ge=0, lt=1 << 53)]
Seconds = Annotated[float, Meta(gt=0)]
Loop = Literal["once", "closed"]
Arrivals = Constant | Uniform | Normal | Exponential | Poisson | Trace


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the largest value in part of an earlier request's output has to compare with `value`."""

    request: Text
    value: float
    comparison: Comparison = ">"
    output: Index = 0
    at: tuple[Index, ...] = ()


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request; later ones refer to it by its label `as`, or without one by its network's name."""

    network: Text
    label: Text | UnsetType = msgspec.field(default=UNSET, name="as")
    sample: Index | UnsetType = UNSET
    deadline_s: Seconds | UnsetType = UNSET
    when: When | UnsetType = UNSET

    @property
    def known_as(self) -> str:
        """What later requests call this one."""
        return self.network if self.label is UNSET else self.label


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A workload: requests, asked once for each image, and when they come."""

    requests: Annotated[tuple[Text | Asked, ...], Meta(min_length=1)]
    name: Text | UnsetType = UNSET
    images: Images = 1
    conditions: Conditions = "wait"
    loop: Loop | UnsetType = UNSET
    arrivals: Arrivals | UnsetType = UNSET
    seed: Seed | UnsetType = UNSET
    deadline_s: Seconds | UnsetType = UNSET


_PROCESSES: dict[str, type[msgspec.Struct]] = {str(process.__struct_config__.tag): process for process in PROCESSES}
_CHOICES = {
    "conditions": get_args(Conditions),
    "loop": (*get_args(Loop), "and `arrivals` for an open one"),
    "comparison": get_args(Comparison),
    "process": tuple(_PROCESSES),
}
_FIELDS: dict[str, type[msgspec.Struct]] = {"$": Document, "requests": Asked, "when": When}
_MOST = 1 << 22  # bytes of a file
_KINDS = {"int": "whole number", "float": "number", "str": "text", "object": "mapping", "array": "list"}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a workload file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Document)}


def load(path: str | Path) -> Mix:
    """Return the mix in a file of YAML (`.yaml`, `.yml`) or JSON (`.json`). Raises UsageError."""
    try:
        text = files.read(Path(path), _MOST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: a byte that is not UTF-8; save the file as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: {reason.lower()}; give a file of YAML or JSON") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Mix:
    """Return the mix that `text` describes; `file` names it in errors, and by its suffix its format."""
    places = read(text, file)
    try:
        document = msgspec.convert(places["$"].value, Document)
    except msgspec.ValidationError as error:
        raise _explained(str(error), places) from None
    return _mix(document, PurePath(file).stem, places)


def _mix(document: Document, stem: str, places: Places) -> Mix:
    requests = [Asked(request) if isinstance(request, str) else request for request in document.requests]
    whens = [_condition(requests, r, places) for r in range(len(requests))]

    def ask(image: int, r: int) -> Ask:
        request, when = requests[r], whens[r]
        if when is not None:
            when = msgspec.structs.replace(when, request=image * len(requests) + when.request)
        deadline_s = document.deadline_s if request.deadline_s is UNSET else request.deadline_s
        sample = image if request.sample is UNSET else request.sample
        return Ask(request.network, sample, image, 0.0, None if deadline_s is UNSET else deadline_s, when)

    asks = tuple(ask(image, r) for image in range(document.images) for r in range(len(requests)))
    try:
        mix = Mix(stem if document.name is UNSET else document.name, asks, conditions=document.conditions)
    except ValueError as error:  # a name that is none
        raise _refused(places, "$.name" if "$.name" in places else "$", str(error)) from None
    if document.arrivals is UNSET:
        if document.seed is not UNSET:
            raise _refused(places, "$.seed", "it decides nothing without arrivals; leave it out or give `arrivals`")
        return mix.closed() if document.loop == "closed" else mix
    if document.loop is not UNSET:
        raise _refused(places, "$.loop", "arrivals make the loop open; leave out `loop` or `arrivals`")
    try:
        return mix.arriving(document.arrivals, seed=0 if document.seed is UNSET else document.seed)
    except ValueError as error:
        raise _refused(places, "$.arrivals.at_s" if "$.arrivals.at_s" in places else "$.arrivals", str(error)) from None


def _condition(requests: Sequence[Asked], r: int, places: Places) -> Condition | None:
    """Return the condition of request `r` on one of the requests before it."""
    when, path = requests[r].when, f"$.requests[{r}].when.request"
    if when is UNSET:
        return None
    earlier = [request.known_as for request in requests[:r]]
    meant = [index for index, name in enumerate(earlier) if name == when.request]
    if not meant:
        is_later = not earlier or when.request in {request.known_as for request in requests[r:]}
        way_out = (
            "only one that stands above can decide"
            if is_later
            else suggestion(when.request, dict.fromkeys(earlier), min_likeness=0.5)
        )
        raise _refused(places, path, f"{when.request!r} is no earlier request; {way_out}")
    if len(meant) > 1:
        several = " or ".join(f"requests[{index}]" for index in meant)
        raise _refused(places, path, f"{when.request!r} may be {several}; give each its own label with `as`")
    return Condition(meant[0], when.value, when.comparison, when.output, when.at)


def _explained(error: str, places: Places) -> UsageError:
    """Return msgspec's `error` in our words, with its line and a way out."""
    message, _, path = error.removesuffix("`").rpartition(" - at `")
    if path not in places:  # of the root msgspec gives none
        message, path = error, "$"
    place = places[path]
    if found := re.fullmatch("Object contains unknown field `(.*)`", message):
        words = f"{found[1]!r} is no field; {suggestion(found[1], _fields(path, places))}"
        return fault(places.get(f"{path}.{found[1]}", place).mark, path, words)
    if found := re.fullmatch("Object missing required field `(.*)`", message):
        return fault(place.mark, path, f"{found[1]!r} is missing; add it")
    if re.match("Invalid (enum )?value", message):
        choices = _CHOICES[path.rpartition(".")[2]]
        return fault(place.mark, path, f"{place.shown} is no choice; {suggestion(place.value, choices)}")
    if found := re.fullmatch("Expected `(.*?)`(?:, got `.*`)?(.*)", message):
        kind = re.sub(r"\w+", lambda word: _KINDS.get(word[0], word[0]), found[1]).replace(" | ", " or ")
        return fault(place.mark, path, f"{place.shown} is no {kind}{found[2]}; {_spelling(place, found[1])}")
    field = message.partition("=")[0].partition(" ")[0]  # an arrival process names the field that it refuses
    path = f"{path}.{field}" if f"{path}.{field}" in places else path
    return _refused(places, path, message.removeprefix(f"{field}="))


def _spelling(place: Place, kind: str) -> str:
    if "str" in kind and isinstance(place.value, (bool, int, float)):
        return f'write it in quotes: "{place.source}"'
    if kind in {"int", "float"} and isinstance(place.value, str) and re.fullmatch(r"[-+.\deE]*\d", place.value):
        return "write it without quotes, and a power of ten as in 1.0e-3"
    return "give one"


def _fields(path: str, places: Places) -> Sequence[str]:
    """Return the names of the fields that the mapping at `path` may have."""
    if path == "$.arrivals":
        process = _PROCESSES[places["$.arrivals.process"].value]
        return "process", *process.__struct_encode_fields__
    return _FIELDS[re.findall(r"[a-z]+|\$", path)[-1]].__struct_encode_fields__


def _refused(places: Places, path: str, words: str) -> UsageError:
    return fault(places[path].mark, path, words)
