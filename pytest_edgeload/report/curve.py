"""The curve of a figure over the limit as a table with a bar for each limit, which fits into 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_edgeload.base.units import format_size
from pytest_edgeload.report.bars import bar
from pytest_edgeload.report.grid import Cell, Grid
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.minmem import CurvePoint, Smallest
from pytest_edgeload.results.threshold import parse_figure

_WIDTH, _GAP = 80, 2


def text(result: Smallest) -> str:
    """Return a title, and a row with a bar for each limit, the largest first; empty without a curve."""
    if not result.curve:
        return ""
    names = ("limit", result.by, "x plenty", "to swap")
    rows = [_cells(result, point) for point in result.curve]
    grid = Grid((*names, ""), tuple((*row, Cell("")) for row in rows), frozenset({4}), frozenset(range(5)))
    room = _WIDTH - grid.width - _GAP
    largest = max((point.value for point in result.curve if point.value is not None), default=0.0) or 1.0
    bars = [Cell(bar(max(0.0, point.value or 0.0) / largest * room)) for point in result.curve]
    drawn = Grid(
        grid.headers, tuple((*row, end) for row, end in zip(rows, bars, strict=True)), grid.texts, grid.essential
    )
    return f"{result.by} by limit, swap {result.case.swap}\n\n{drawn.lines()}"


def shown(name: str, value: float, figures: Mapping[str, Metric]) -> str:
    """Return a value of the figure with this name as a short text with its unit."""
    figure = parse_figure(name, METRICS)
    return figure.known({figure.metric: figures[name]}).show(value)


def _cells(result: Smallest, point: CurvePoint) -> tuple[Cell, ...]:
    limit = "no limit" if point.is_plenty else format_size(point.limit_bytes)
    if point.value is None:
        return Cell(limit), Cell(point.outcome), Cell("-"), Cell("-")
    plenty = next((known.value for known in result.curve if known.is_plenty), None)
    ratio = f"{point.value / plenty:.2f}" if plenty else "-"
    swapped = "-" if point.swap_out_bytes is None else format_size(point.swap_out_bytes)
    return Cell(limit), Cell(shown(result.by, point.value, result.figures)), Cell(ratio), Cell(swapped)
