"""The view of a report: the records' columns, order and layout, as options and commands choose them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class View:
    """The choices for a report; an empty choice means the report's own default.

    `width` is the maximum number of characters in a line, None without a limit; `colour` allows terminal escapes.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    group_by: tuple[str, ...] = ()
    name: Literal["short", "long"] = "short"
    width: int | None = None
    colour: bool = False
