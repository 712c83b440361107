"""Marks that distinguish lines on charts also without colours: a colour, a dash and a marker each."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from zlib import crc32

from pytest_edgeload.base.text import printable

# M. Okabe and K. Ito, Color Universal Design (2008), without black and yellow, each invisible on one background.
BLUE, ORANGE, GREEN, RED, PINK, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#888888"

_COLOURS = (BLUE, ORANGE, GREEN, RED, PINK, SKY)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon")

_COUNT = len(_COLOURS) * len(_DASHES) * len(_SYMBOLS)  # of different marks, because no two lengths share a factor

FIXED = (
    "bulk", "linear", "partial", "stream", "bulk-unchained", "masa", "multi-bulk", "execprio", "execprio-inter",
    "deepeye", "deepeye-preload", "deepeye-frugal", "sjf", "masa-hrrn", "mema", "lru", "lru-layers",
)  # fmt: skip
"""The built-in policies, in the order of their marks: the first six, those of our suites, have different colours.

The names are repeated here, because importing them is slow.
"""

_MAX_LINEAR = 20  # the largest ratio of values on a linear axis
_BEYOND = 0.03
_STEPS, _DECADES = (1, 2, 5), 3  # the ticks of a decade; an axis of more decades has a tick for each


@dataclass(frozen=True, slots=True)
class Mark:
    """The look of one policy on all charts, the same on every page."""

    colour: str
    dash: str
    symbol: str


def marks(policies: Iterable[str]) -> Mapping[str, Mark]:
    """Return a mark for each policy: that of its name, or if another policy of the page has it, the next free one.

    Built-in policies have fixed marks. A policy keeps its colour as long as the page has fewer than 35 of that colour.
    """
    numbers: dict[str, int] = {}
    for policy in dict.fromkeys(policies):
        numbers[policy] = _number(policy, {*range(len(FIXED)), *numbers.values()})
    return {policy: _mark(number) for policy, number in numbers.items()}


def _number(policy: str, taken: Collection[int]) -> int:
    if policy in FIXED:
        return FIXED.index(policy)
    first, colours = crc32(policy.encode(errors="backslashreplace")), len(_COLOURS)
    candidates = ((first + i * colours + i * colours // _COUNT) % _COUNT for i in range(_COUNT))
    return next((number for number in candidates if number not in taken), first % _COUNT)


def _mark(number: int) -> Mark:
    return Mark(*(looks[number % len(looks)] for looks in (_COLOURS, _DASHES, _SYMBOLS)))


def label(name: str) -> str:
    """Return `name` escaped, because plotly interprets tags and entities in labels."""
    return escape(printable(name), quote=False)


def seconds(name: str, values: Iterable[float]) -> dict[str, object]:
    """Return an axis for these times: linear from 0, or logarithmic if short times would be invisible."""
    return amounts(f"{name}, seconds", values)


def amounts(words: str, values: Iterable[float]) -> dict[str, object]:
    """Return an axis with this title: linear from 0, or logarithmic if small amounts would be invisible."""
    values = list(values)
    positive = [value for value in values if value > 0]
    title = {"title": {"text": words}}
    if not positive or min(values) < 0 or max(positive) <= _MAX_LINEAR * min(positive):
        return {**title, "rangemode": "tozero"}
    ticks = _ticks(min(positive), max(positive))
    return {**title, "type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def spanning(name: str, values: Sequence[float]) -> dict[str, object]:
    """Return an axis for these times that ends beyond the last one, because a vertical line at the end is cut off."""
    axis = seconds(name, values)
    low, high = min(values, default=0.0), (1 + _BEYOND) * max(values, default=1.0)
    is_log = axis.get("type") == "log"
    return {**axis, "range": [math.log10(low / (1 + _BEYOND)), math.log10(high)] if is_log else [0, high]}


def spaced(places: Iterable[float], span: tuple[float, float], share: float) -> list[float]:
    """Return the places on a logarithmic axis that have room for a label, which takes this share of the span.

    The first place is kept, and of places that are too close to each other the smaller one.
    """
    gap = (span[1] / span[0]) ** share
    kept: list[float] = []
    for place in sorted(places):
        if not kept or place >= kept[-1] * gap:
            kept.append(place)
    return kept


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = _STEPS if len(decades) <= _DECADES + 1 else (1,)
    return [float(f"{step}e{decade}") for decade in decades for step in steps]
