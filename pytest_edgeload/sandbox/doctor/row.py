"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weight = Literal["required", "wanted", "told"]
"""Without what is `required` no limit can be enforced and measured; what is `wanted` makes figures more, truer or
steadier; what is `told` explains the others, or something else can stand in for it.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """Whether `what` is as it should be, what was found, and how to get it; `area` is what it is about."""

    area: str
    what: str
    ok: bool
    found: str
    way_out: str = ""
    weight: Weight = "wanted"


def refused(area: str, what: str, reason: str, *, way_out: str = "", weight: Weight = "wanted") -> Row:
    """Return the row of a refusal, whose sentence mostly ends with the way out."""
    found, _, way = reason.partition("; ")
    return Row(area, what, ok=False, found=found, way_out=way or way_out, weight=weight)
