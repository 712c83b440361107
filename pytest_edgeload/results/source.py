"""Sources of a program's own metrics: the places in its output, its files or its answer that contain their numbers.

    SOURCE     = PATH | FILE ":" PATH | "/" EXPRESSION "/" ["g"]
    PATH       = "$" {"." NAME | "[" INDEX "]" | "[" '"' NAME '"' "]" | "[*]"}
    EXPRESSION = a regular expression with the group `(?P<value>...)`; "g" takes every match, as a series

A list of numbers, or `[*]` in a path, gives a series as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.json_values import KeyPath, find
from pytest_edgeload.results.metric import MAX_UNIT_CHARACTERS, Better
from pytest_edgeload.results.naming import check_own_name

EXAMPLES = r"try $.tokens_per_s, /(?P<value>[\d.]+) tokens per second/ or result.json:$.tokens_per_s"

DIRECTIONS = ("higher", "lower", "neither")

GROUP = "value"
"""The group of an expression that is the number."""
_NAMED = re.compile(r"(?P<name>[^=:]*)(?::(?P<unit>[^=:]*?))??(?::(?P<better>higher|lower))?=(?P<source>.*)", re.DOTALL)
_PATTERN = re.compile(r"/(?P<expression>.+)/(?P<all>g?)", re.DOTALL)
_STEP = re.compile(r"""\.(?P<name>[\w-]+)|\[(?:(?P<index>-?\d{1,9})|"(?P<quoted>[^"]*)"|(?P<each>\*))\]""")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A path in a JSON document.

    `file` contains the document; without it, the document is the program's output or answer.
    """

    steps: KeyPath
    file: str = ""

    def find(self, document: Any) -> Any:
        """Return the value at this path. Raises ValueError with the reason if there is none."""
        return find(document, self.steps)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression for the program's output, whose group `value` is the number. `is_series`: every match."""

    expression: str
    is_series: bool = False


@dataclass(frozen=True, slots=True)
class MetricSource:
    """Where to find a metric that a program reports, and what its number means.

    `source` is `$.path` in JSON on standard output, `file.json:$.path`, or `/expression/` with a group `value`. `unit`
    (any text) and `better` (`"higher"`, `"lower"` or `"neither"`) follow from the metric's name if they are None.
    Raises UsageError for a source that cannot be read.
    """

    source: str
    unit: str | None = None
    better: Better | None = None
    place: JsonPath | Pattern = field(init=False)

    def __post_init__(self) -> None:
        """Parse the source. Raises UsageError."""
        given: Any = self.source
        if not isinstance(given, str):
            raise UsageError(f"source {given!r}", "not text", EXAMPLES)
        if self.better not in {None, *DIRECTIONS}:
            raise UsageError(f"better={self.better!r}", "not a direction", f"give {' or '.join(DIRECTIONS)}")
        unit: Any = self.unit
        if unit is not None and (not isinstance(unit, str) or len(unit) > MAX_UNIT_CHARACTERS):
            raise UsageError(f"unit={unit!r}", f"not a text of at most {MAX_UNIT_CHARACTERS} characters")
        object.__setattr__(self, "place", _parse(self.source.strip()))


def parse_metric(text: str) -> tuple[str, MetricSource]:
    """Return the name and the source in `NAME[:UNIT][:higher|:lower]=SOURCE`. Raises UsageError."""
    match = _NAMED.fullmatch(text.strip())
    if match is None:
        raise UsageError(text, "not a metric and its source", "try tokens_per_s=$.timings.predicted_per_second")
    check_own_name(match["name"])
    better = cast("Better | None", match["better"])
    return match["name"], MetricSource(match["source"], match["unit"] or None, better)


def _parse(text: str) -> JsonPath | Pattern:
    pattern = _PATTERN.fullmatch(text)
    if pattern is not None:
        return _to_pattern(pattern["expression"], is_series=bool(pattern["all"]))
    file, _, path = text.rpartition(":$")
    if text.startswith("$"):
        file, path = "", text[1:]
    elif not file:
        raise UsageError(f"source {text!r}", "neither a path in JSON nor a regular expression", EXAMPLES)
    return JsonPath(_to_steps(path), file)


def _to_pattern(expression: str, *, is_series: bool) -> Pattern:
    subject = f"source /{expression}/"
    try:
        compiled = re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(subject, f"not a regular expression: {error}") from None
    if GROUP not in compiled.groupindex:
        raise UsageError(subject, "no group is the number", r"mark it, as in /(?P<value>[\d.]+) tokens per second/")
    return Pattern(expression, is_series)


def _to_steps(path: str) -> KeyPath:
    steps: list[str | int | None] = []
    end = 0
    while match := _STEP.match(path, end):
        steps.append(_to_step(match))
        end = match.end()
    if end < len(path):
        hint = """write names as .name or ["any name"], and indices as [0]"""
        raise UsageError(f"source ${path}", f"not a path in JSON from {path[end:]!r} on", hint)
    return tuple(steps)


def _to_step(match: re.Match[str]) -> str | int | None:
    if match["index"]:
        return int(match["index"])
    return match["name"] or match["quoted"]
