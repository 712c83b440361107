"""The result of one check of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_edgeload.base.errors import Refusal, Words

Weight = Literal["required", "desirable", "informative"]
"""How much a check matters. Without a `required` one no limit can be enforced and measured; a `desirable` one makes
figures complete, exact or steady; an `informative` one explains the others, or something else can replace it.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """A check called `what` in an `area`: whether it is `ok`, what was `found`, and a `hint` to change that."""

    area: str
    what: str
    ok: bool
    found: Words
    hint: Words = ""
    weight: Weight = "desirable"


def failed(area: str, what: str, error: Refusal, *, hint: Words = "", weight: Weight = "desirable") -> Check:
    """Return the check that failed with `error`. `hint` is used if the error has none."""
    return Check(area, what, ok=False, found=error.statement, hint=error.hint or hint, weight=weight)
