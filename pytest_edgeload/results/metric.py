"""Metrics: named numbers of a run, with a unit and a direction."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Unit = Literal["s", "bytes", "count", "ratio", "per s"]
Better = Literal["lower", "higher", "neither"]

Number = Annotated[float, Meta(ge=-1e100, le=1e100)]
"""Any other number in a file; its bounds keep sums of numbers finite."""


class Metric(msgspec.Struct, frozen=True):
    """A named number of a run: its unit, whether lower or higher is better, and its meaning in one line."""

    unit: Unit
    better: Better
    meaning: str


class OwnMetric(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metric that a program reported about itself: a number, or the numbers of a series, such as one per request."""

    value: Number | tuple[Number, ...]
    unit: str = ""
    better: Better = "neither"
