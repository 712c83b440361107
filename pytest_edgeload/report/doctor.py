"""What a machine can enforce and measure: a table, the ways to what is missing, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from tabulate import tabulate

from pytest_edgeload.sandbox.doctor import Row, Weight

_COLUMNS = ("about", "what", "is so", "found", "needed")
_WIDTHS = [None, None, None, 64, None]
_WEIGHTS: Mapping[Weight, str] = {"required": "yes", "wanted": "better", "told": ""}  # from what matters most


def missing(rows: Sequence[Row], weight: Weight = "required") -> list[Row]:
    """Return the rows that say no and have this weight."""
    return [row for row in rows if not row.ok and row.weight == weight]


def text(rows: Sequence[Row]) -> str:
    """Return everything as text."""
    areas = ["", *(row.area for row in rows)]
    lines = [
        ("" if row.area == before else row.area, row.what, _answer(row), row.found, _WEIGHTS[row.weight])
        for before, row in zip(areas, rows, strict=False)
    ]
    ways = [f"  {row.what}: {row.way_out}" for weight in _WEIGHTS for row in missing(rows, weight) if row.way_out]
    parts = [
        tabulate(lines, _COLUMNS, tablefmt="simple", disable_numparse=True, maxcolwidths=_WIDTHS),
        "\n".join(["where it says no, this helps:", *ways]) if ways else "",
        _verdict(rows),
    ]
    return "\n\n".join(part for part in parts if part)


def _answer(row: Row) -> str:
    return "yes" if row.ok else "no" if row.weight == "told" else "NO"


def _verdict(rows: Sequence[Row]) -> str:
    lacking, better = (", ".join(row.what for row in missing(rows, weight)) for weight in ("required", "wanted"))
    if lacking:
        return f"NO memory limit can be enforced and measured here, for want of: {lacking}"
    return f"a memory limit can be enforced and measured here{f'; better with: {better}' if better else ''}"


def json(rows: Sequence[Row]) -> str:
    """Return everything as JSON: the rows."""
    return msgspec.json.format(msgspec.json.encode(rows)).decode()
