"""What of the records is shown, and in which order: what the options and the command line say about every report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class View:
    """What to show; empty means what the report itself thinks best.

    `width` is the characters a line may have, None where that does not matter; `colour`, whether escapes may be used.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    group_by: tuple[str, ...] = ()
    name: Literal["short", "long"] = "short"
    width: int | None = None
    colour: bool = False
