"""One figure of each case over the saved sessions of one kind of machine. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Side, Sides, identity, incomparable
from pytest_edgeload.results.record import Case
from pytest_edgeload.results.statistics import Estimate, estimate, lacking
from pytest_edgeload.results.threshold import Figure


class Saved(NamedTuple):
    """A session, and what it is called: `0003 main`."""

    title: str
    document: Document


class Point(NamedTuple):
    """What one session says of the figure."""

    saved: Saved
    found: Estimate


@dataclass(frozen=True, slots=True)
class Series:
    """The figure of one case, the oldest session first; what of it cannot be compared, and why, by session."""

    case: Case
    points: tuple[Point, ...]
    left_out: dict[str, str]


def series(sessions: Sequence[Saved], figure: Figure, wanted: Callable[[Case], bool]) -> list[Series]:
    """Return a series for each case that is `wanted`; what can be compared with the newest session that has it."""
    sides = [(saved, Sides.of(saved.document.records)) for saved in sessions]
    newest = {key: record.case for _, each in sides for key, record in each.records.items() if wanted(record.case)}
    return [_series(case, figure, sides) for case in newest.values() if case.policy != figure.reference]


def _series(case: Case, figure: Figure, sides: Sequence[tuple[Saved, Sides]]) -> Series:
    points, left_out = [], {}
    for saved, each in sides:
        side = each.side(identity(case), figure.reference)
        if side is not None:
            reason, found = _judged(side, case, figure)
            if found is None:
                left_out[saved.title] = reason
            else:
                points.append(Point(saved, found))
    return Series(case, tuple(points), left_out)


def _judged(side: Side, case: Case, figure: Figure) -> tuple[str, Estimate | None]:
    """Return the figure, or why it is not to be compared with that of `case`."""
    different = incomparable(figure, side.record.case, case, is_alike=True)
    if different is not None:
        return different, None
    runs = side.runs(figure)
    needed = lacking(runs, figure.stat)
    if not runs or needed is not None:
        return f"no round has {figure}" if not runs else f"{figure.stat} needs {needed} samples", None
    return "", estimate(runs, figure.stat)
