"""The history of a figure: its value of each case in the saved sessions of one kind of machine. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Side, Sides, incomparable
from pytest_edgeload.results.own import optional_metrics
from pytest_edgeload.results.statistics import Estimate, estimate, lacking
from pytest_edgeload.results.threshold import Figure


class Saved(NamedTuple):
    """A saved session and its title: `0003 main`."""

    title: str
    document: Document


class SessionValue(NamedTuple):
    """The value of the figure in one session."""

    saved: Saved
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one case, oldest session first; and by session, why a value was left out."""

    case: Case
    points: tuple[SessionValue, ...]
    left_out: dict[str, str]


def series(sessions: Sequence[Saved], figure: Figure, is_wanted: Callable[[Case], bool]) -> list[Series]:
    """Return a series for each wanted case, with the values that are comparable with the newest session's."""
    figure = known_in(sessions, figure)
    sides = [(saved, Sides.of(saved.document.records)) for saved in sessions]
    newest = {key: record.case for _, each in sides for key, record in each.records.items() if is_wanted(record.case)}
    return [_series(case, figure, sides) for case in newest.values() if case.policy != figure.reference]


def known_in(sessions: Sequence[Saved], figure: Figure) -> Figure:
    """Return the figure with the unit and the direction that the newest session gives a metric that programs report."""
    return figure.known(optional_metrics(record for saved in reversed(sessions) for record in saved.document.records))


def _series(case: Case, figure: Figure, sides: Sequence[tuple[Saved, Sides]]) -> Series:
    points, left_out = [], {}
    for saved, each in sides:
        side = each.side(case, figure.reference)
        if side is not None:
            reason, value = _value(side, case, figure)
            if value is None:
                left_out[saved.title] = reason
            else:
                points.append(SessionValue(saved, value))
    return Series(case, tuple(points), left_out)


def _value(side: Side, case: Case, figure: Figure) -> tuple[str, Estimate | None]:
    """Return the figure, or the reason why it cannot be compared with that of `case`."""
    different = incomparable(figure, side.record.case, case, is_alike=True)
    if different is not None:
        return different, None
    runs = side.runs(figure)
    needed = lacking(runs, figure.stat)
    if not runs or needed is not None:
        return f"no round has {figure}" if not runs else f"{figure.stat} needs {needed} samples", None
    return "", estimate(runs, figure.stat)
