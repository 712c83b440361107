"""Metrics: named numbers of a run, with a unit and a direction."""

from typing import Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta

Better = Literal["lower", "higher", "neither"]

Number = Annotated[float, Meta(ge=-1e100, le=1e100)]
"""Any other number in a file; its bounds keep sums of numbers finite."""

OWN_NAME = r"[^\W\d]\w{0,99}(?:\.\w{1,100}){0,9}"
"""The pattern of names of a program's own metrics: `tokens_per_s`, `anon_at.loaded`."""

MAX_UNIT_CHARACTERS = 50

OwnName = Annotated[str, Meta(pattern=rf"^{OWN_NAME}\Z")]
OwnUnit = Annotated[str, Meta(max_length=MAX_UNIT_CHARACTERS)]


class Metric(msgspec.Struct, frozen=True):
    """A named number of a run: its unit, whether lower or higher is better, and its meaning in one line.

    The unit of a built-in metric is `s`, `bytes`, `count`, `ratio`, `1/s`, `J`, `W` or `°C`. A program may give its own
    any unit.
    """

    unit: str
    better: Better
    meaning: str = ""


def metric_field(unit: str, better: Better, meaning: str) -> Meta:
    """Return the annotation that makes a field a metric."""
    return Meta(description=meaning, extra={"metric": Metric(unit, better, meaning)})


def metrics_of(struct: type[msgspec.Struct]) -> dict[str, Metric]:
    """Return the metrics among the fields of a struct by name, in their order."""
    return {
        name: meta.extra["metric"]
        for name, hint in get_type_hints(struct, include_extras=True).items()
        for meta in getattr(hint, "__metadata__", ())
        if isinstance(meta, Meta) and meta.extra
    }


class OwnMetric(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metric that a program reported about itself: a number, or the numbers of a series, such as one per request.

    `interval` is the 95 % interval of a number that is itself a statistic.
    """

    value: Number | tuple[Number, ...]
    unit: OwnUnit = ""
    better: Better = "neither"
    interval: tuple[Number, Number] | None = None

    @property
    def metric(self) -> Metric:
        """The unit and the direction."""
        return Metric(self.unit, self.better)


def implied(name: str) -> Metric:
    """Return the unit and the direction that a program's own metric has by its name, unless it is given others."""
    if name.endswith("_per_s"):
        return Metric("1/s", "higher")
    if name.endswith("_s"):
        return Metric("s", "lower")
    if name.endswith("_bytes") or name.startswith("anon_at."):
        return Metric("bytes", "lower")
    if name == "leak":
        return Metric("bytes/repetition", "lower")
    return Metric("", "neither")
