"""The noise floor of each figure as a table, and the tightest gates that hold in spite of the noise."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_edgeload.report.grid import text_table
from pytest_edgeload.results.noise import Floor, Tightest
from pytest_edgeload.results.threshold import Figure

_NONE = "none"
_FLOOR = ("median", "typical difference", "95% within", "worst")
_GATES = ("figure", "tightest gate", "in strict mode")


def floors(by_figure: Mapping[tuple[Figure, str], Floor], kind: str) -> str:
    """Return a row for each figure of each policy or program, the `kind`: its differences between identical sides."""
    rows = []
    for (figure, policy), floor in by_figure.items():
        differences = (floor.typical, floor.within, floor.worst)
        rows.append([str(figure), policy, figure.show(floor.value), *(_share(figure, floor, d) for d in differences)])
    return text_table(("figure", kind, *_FLOOR), rows, texts=range(2))


def gates(by_figure: Mapping[Figure, tuple[Tightest, Tightest]]) -> str:
    """Return a row for each figure: the tightest threshold without an alarm, also in strict mode; then reasons."""
    rows = [[str(figure), *map(_expression, pair)] for figure, pair in by_figure.items()]
    lacking = {
        f"{figure}: no gate{where}: {one.reason}"
        for figure, pair in by_figure.items()
        for one, where in zip(pair, ("", " in strict mode"), strict=True)
        if one.threshold is None
    }
    return "\n".join([text_table(_GATES, rows, texts=range(3)), *sorted(lacking)])


def _expression(gate: Tightest) -> str:
    return _NONE if gate.threshold is None else gate.threshold.text


def _share(figure: Figure, floor: Floor, difference: float) -> str:
    """Return a difference relative to the figure; the difference itself if the figure is mostly zero."""
    return figure.show(difference) if floor.value == 0 else f"{difference / abs(floor.value):.2%}"
