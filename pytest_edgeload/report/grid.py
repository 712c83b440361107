"""Tables of finished texts, laid out for people: alignment, width, colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from tabulate import tabulate

from pytest_edgeload.base.text import printable

Style = Literal["", "best", "worst", "bad"]

_COLOURS: Mapping[Style, str] = {"best": "32;1", "worst": "33", "bad": "31;1"}
_GAP, _MIN_WIDTH, _CUT = 2, 8, "…"
_PADDING = "  "  # tabulate makes columns this much wider than their headers


class Cell(NamedTuple):
    """A text and its style."""

    text: str
    style: Style = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells below headers.

    The columns in `texts` are left-aligned and may be shortened; columns that are not in `essential` may be left out.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: frozenset[int]
    essential: frozenset[int]

    @property
    def widths(self) -> list[int]:
        """The width of each column in characters."""
        headers = (text + _PADDING for text in self.headers)
        return [max(map(len, column)) for column in zip(headers, *self._texts(), strict=True)]

    @property
    def width(self) -> int:
        """The width of a line in characters."""
        return sum(self.widths) + _GAP * (len(self.headers) - 1)

    def without(self, column: int) -> Grid:
        """Return the grid without a column."""
        return Grid(
            _without(self.headers, column),
            tuple(_without(row, column) for row in self.rows),
            _shifted(self.texts, column),
            _shifted(self.essential, column),
        )

    def cut(self, column: int, width: int) -> Grid:
        """Return the grid with the cells of a column shortened to `width`."""
        rows = (
            tuple(Cell(_short(cell.text, width), cell.style) if i == column else cell for i, cell in enumerate(row))
            for row in self.rows
        )
        headers = tuple(_short(text, width) if i == column else text for i, text in enumerate(self.headers))
        return replace(self, headers=headers, rows=tuple(rows))

    def lines(self, *, colour: bool = False, layout: str = "simple") -> str:
        """Return the table as text; with `colour`, cells have the escapes of their style."""
        rows = [[painted(cell) if colour else cell.text for cell in row] for row in self.rows]
        align = ["left" if i in self.texts else "right" for i in range(len(self.headers))]
        return tabulate(rows, self.headers, tablefmt=layout, colalign=align, disable_numparse=True)

    def _texts(self) -> Iterable[list[str]]:
        return ([cell.text for cell in row] for row in self.rows)


def text_table(headers: Sequence[str], rows: Iterable[Sequence[str]], texts: Iterable[int]) -> str:
    """Return a table of texts, each printed on one line; the columns in `texts` are left-aligned."""
    cells = tuple(tuple(Cell(printable(text)) for text in row) for row in rows)
    return Grid(tuple(headers), cells, frozenset(texts), frozenset()).lines()


def fitted(grid: Grid, width: int | None) -> tuple[Grid, list[str]]:
    """Return the grid without the last columns that do not fit into `width`, and the headers of these."""
    omitted: list[str] = []
    while width is not None and grid.width > width:
        spare = [i for i in range(len(grid.headers)) if i not in grid.essential]
        if not spare:
            return _narrowed(grid, width), omitted
        omitted.insert(0, grid.headers[spare[-1]])
        grid = grid.without(spare[-1])
    return grid, omitted


def omission(omitted: Iterable[str], width: int | None) -> list[str]:
    """Return a line on the columns that `fitted` left out, if any."""
    names = ", ".join(dict.fromkeys(omitted))
    return [f"no room in {width} columns for {names}"] if names else []


def _narrowed(grid: Grid, width: int) -> Grid:
    """Return the grid with its widest texts shortened until it fits or they would become unreadable."""
    while grid.width > width:
        widest = max(grid.texts, key=lambda i: grid.widths[i])
        cut = grid.cut(widest, max(_MIN_WIDTH, grid.widths[widest] - (grid.width - width)))
        if cut.width == grid.width:
            break
        grid = cut
    return grid


def _without(cells: Sequence[Any], column: int) -> tuple[Any, ...]:
    return tuple(cell for i, cell in enumerate(cells) if i != column)


def _shifted(columns: frozenset[int], removed: int) -> frozenset[int]:
    return frozenset(i - (i > removed) for i in columns if i != removed)


def _short(text: str, width: int) -> str:
    """Return `text`, without its middle if it is too long, because names differ at their ends."""
    end = (width - 1) // 2
    return text if len(text) <= width else text[: width - 1 - end] + _CUT + text[len(text) - end :]


def painted(cell: Cell) -> str:
    """Return the text with the escapes of its style."""
    return f"\033[{_COLOURS[cell.style]}m{cell.text}\033[0m" if cell.style else cell.text
