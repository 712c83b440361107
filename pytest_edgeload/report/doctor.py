"""What a machine can enforce and measure: a table, the ways to what is missing, and one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from tabulate import tabulate

from pytest_edgeload.sandbox.doctor import Row

_COLUMNS = ("about", "what", "is so", "found", "needed")
_WIDTHS = [None, None, None, 64, None]
_WEIGHTS = {"required": "yes", "wanted": "better", "told": ""}  # from what matters most


def missing(rows: Sequence[Row], *, strict: bool = False) -> list[Row]:
    """Return the rows that say no and matter: the required ones; with `strict` also what is wanted."""
    weights = {"required", "wanted"} if strict else {"required"}
    return [row for row in rows if not row.ok and row.weight in weights]


def text(rows: Sequence[Row]) -> str:
    """Return everything as text."""
    areas = ["", *(row.area for row in rows)]
    lines = [
        ("" if row.area == before else row.area, row.what, _answer(row), row.found, _WEIGHTS[row.weight])
        for before, row in zip(areas, rows, strict=False)
    ]
    lacking = [row for weight in _WEIGHTS for row in rows if row.weight == weight and not row.ok and row.way_out]
    ways = [f"  {row.what}: {row.way_out}" for row in lacking]
    parts = [
        tabulate(lines, _COLUMNS, tablefmt="simple", disable_numparse=True, maxcolwidths=_WIDTHS),
        "\n".join(["where it says no, this helps:", *ways]) if ways else "",
        _verdict(missing(rows)),
    ]
    return "\n\n".join(part for part in parts if part)


def _answer(row: Row) -> str:
    return "yes" if row.ok else "no" if row.weight == "told" else "NO"


def _verdict(lacking: Sequence[Row]) -> str:
    if not lacking:
        return "a memory limit can be enforced and measured here"
    return f"NO memory limit can be enforced and measured here, for want of: {', '.join(row.what for row in lacking)}"


def json(rows: Sequence[Row]) -> str:
    """Return everything as JSON: `ok`, and `rows`."""
    found = {"ok": not missing(rows), "rows": rows}
    return msgspec.json.format(msgspec.json.encode(found)).decode()
