"""Cells in rows, laid out for people: what a table is when nothing has to be calculated any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from tabulate import tabulate

Style = Literal["", "best", "worst", "bad"]

_COLOURS: Mapping[Style, str] = {"best": "32;1", "worst": "33", "bad": "31;1"}
_GAP, _LEAST, _CUT = 2, 8, "…"
_BEYOND = "  "  # tabulate makes columns so much wider than their headers


class Cell(NamedTuple):
    """A text, and what is remarkable about it."""

    text: str
    style: Style = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells below headers. Texts stand to the left and may be cut; what is no essential column may be left out."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: frozenset[int]
    essential: frozenset[int]

    @property
    def widths(self) -> list[int]:
        """The characters that each column takes."""
        headers = (text + _BEYOND for text in self.headers)
        return [max(map(len, column)) for column in zip(headers, *self._texts(), strict=True)]

    @property
    def width(self) -> int:
        """The characters that a line takes."""
        return sum(self.widths) + _GAP * (len(self.headers) - 1)

    def without(self, column: int) -> Grid:
        """Return the grid less a column."""
        return Grid(
            _less(self.headers, column),
            tuple(_less(row, column) for row in self.rows),
            _shifted(self.texts, column),
            _shifted(self.essential, column),
        )

    def cut(self, column: int, width: int) -> Grid:
        """Return the grid with the cells of a column no longer than `width`."""
        rows = (
            tuple(Cell(_short(cell.text, width), cell.style) if i == column else cell for i, cell in enumerate(row))
            for row in self.rows
        )
        headers = tuple(_short(text, width) if i == column else text for i, text in enumerate(self.headers))
        return replace(self, headers=headers, rows=tuple(rows))

    def lines(self, *, colour: bool = False, layout: str = "simple") -> str:
        """Return the table, its best and worst in colours if there may be some."""
        rows = [[painted(cell) if colour else cell.text for cell in row] for row in self.rows]
        align = ["left" if i in self.texts else "right" for i in range(len(self.headers))]
        return tabulate(rows, self.headers, tablefmt=layout, colalign=align, disable_numparse=True)

    def _texts(self) -> Iterable[list[str]]:
        return ([cell.text for cell in row] for row in self.rows)


def fitted(grid: Grid, width: int | None) -> tuple[Grid, list[str]]:
    """Return what of the grid fits into `width`, and the headers of what had to go: the last ones first."""
    gone: list[str] = []
    while width is not None and grid.width > width:
        spare = [i for i in range(len(grid.headers)) if i not in grid.essential]
        if not spare:
            return _narrowed(grid, width), gone
        gone.insert(0, grid.headers[spare[-1]])
        grid = grid.without(spare[-1])
    return grid, gone


def room(gone: Iterable[str], width: int | None) -> list[str]:
    """Return a line on what `fitted` left out, if it did."""
    names = ", ".join(dict.fromkeys(gone))
    return [f"no room in {width} columns for {names}"] if names else []


def _narrowed(grid: Grid, width: int) -> Grid:
    """Return the grid with its widest texts cut as far as it takes, and as it can still be read."""
    while grid.width > width:
        widest = max(grid.texts, key=lambda i: grid.widths[i])
        cut = grid.cut(widest, max(_LEAST, grid.widths[widest] - (grid.width - width)))
        if cut.width == grid.width:
            break
        grid = cut
    return grid


def _less(cells: Sequence[Any], column: int) -> tuple[Any, ...]:
    return tuple(cell for i, cell in enumerate(cells) if i != column)


def _shifted(columns: frozenset[int], gone: int) -> frozenset[int]:
    return frozenset(i - (i > gone) for i in columns if i != gone)


def _short(text: str, width: int) -> str:
    """Return `text`, its middle left out where it is longer: what tells names apart stands at either end."""
    end = (width - 1) // 2
    return text if len(text) <= width else text[: width - 1 - end] + _CUT + text[len(text) - end :]


def painted(cell: Cell) -> str:
    """Return the text with the escapes of its style."""
    return f"\033[{_COLOURS[cell.style]}m{cell.text}\033[0m" if cell.style else cell.text
