"""How things are told apart on charts by those who see no colours, too: a colour, a dash and a marker each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from pytest_edgeload.base.text import printable

# M. Okabe and K. Ito, Color Universal Design (2008), less black and yellow, of which one is lost on each background.
BLUE, ORANGE, GREEN, RED, PINK, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#888888"

_COLOURS = (BLUE, ORANGE, GREEN, RED, PINK, SKY)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon")

_FAR = 20  # what lies further apart is drawn on a logarithmic axis
_BEYOND = 0.03
_STEPS, _DECADES = (1, 2, 5), 3  # the ticks of a decade, up to so many of them; of more, their powers only


@dataclass(frozen=True, slots=True)
class Mark:
    """What one policy looks like on every chart of a page."""

    colour: str
    dash: str
    symbol: str


def marks(policies: Iterable[str]) -> Mapping[str, Mark]:
    """Return a mark for each policy; the numbers of dashes and markers share no factor, so that 210 differ."""
    return {
        policy: Mark(_COLOURS[i % len(_COLOURS)], _DASHES[i % len(_DASHES)], _SYMBOLS[i % len(_SYMBOLS)])
        for i, policy in enumerate(dict.fromkeys(policies))
    }


def label(name: str) -> str:
    """Return `name` as charts show it literally: plotly takes tags and entities for what they say."""
    return escape(printable(name), quote=False)


def seconds(what: str, values: Iterable[float]) -> dict[str, object]:
    """Return an axis for these times: from 0, or logarithmic where that would make the short ones invisible."""
    positive = [value for value in values if value > 0]
    title = {"title": {"text": f"{what}, seconds"}}
    if not positive or max(positive) <= _FAR * min(positive):
        return {**title, "rangemode": "tozero"}
    ticks = _ticks(min(positive), max(positive))
    return {**title, "type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def spanning(what: str, values: Sequence[float]) -> dict[str, object]:
    """Return such an axis that ends a little beyond the values, as lines that go up at its very end are cut in half."""
    axis = seconds(what, values)
    least, greatest = min(values, default=0.0), (1 + _BEYOND) * max(values, default=1.0)
    is_log = axis.get("type") == "log"
    return {**axis, "range": [math.log10(least / (1 + _BEYOND)), math.log10(greatest)] if is_log else [0, greatest]}


def _ticks(least: float, greatest: float) -> list[float]:
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(greatest)) + 1)
    steps = _STEPS if len(decades) <= _DECADES + 1 else (1,)
    return [float(f"{step}e{decade}") for decade in decades for step in steps]
