"""The errors of predictions: each pair of a real run and its simulation, and the tables of them. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import msgspec
from tabulate import tabulate

from pytest_edgeload.base.units import format_size
from pytest_edgeload.results.measurement import Measurement

GOALS = {"makespan": (0.15, 0.30), "response": (0.15, 0.30), "peak": (0.05, None), "swapped": (0.25, None)}
"""The largest median error, and the largest error of nine cells of ten, if that has a goal."""

ORDER_GOAL, CLEAR = 0.95, 0.20
"""The share of pairs of policies whose order must be right, and the difference from which an order is clear."""

_MIN_SWAPPED_BYTES = 100 << 20  # less is not compared
_WORST = 10  # cells


class Figures(msgspec.Struct, frozen=True):
    """The figures of one run, real or simulated. The others are None unless the outcome is ok.

    `response_s` is the mean response time of streams. It replaces the makespan, which depends on the last arrival.
    """

    outcome: str
    makespan_s: float | None = None
    peak_bytes: int | None = None
    swapped_bytes: int | None = None
    response_s: float | None = None

    @classmethod
    def of(cls, run: Measurement, *, has_streams: bool = False) -> Figures:
        """Return the figures of a measurement."""
        if run.outcome != "ok":
            return cls(run.outcome)
        response_s = run.response_mean_s if has_streams else None
        return cls(run.outcome, run.makespan_s, run.peak_bytes, run.swap_out_bytes, response_s)

    @classmethod
    def median(cls, rounds: Sequence[Figures]) -> Figures:
        """Return the median of each figure over the rounds of a cell, or the first round that failed."""
        failed = next((each for each in rounds if each.outcome != "ok"), None)
        if failed is not None:
            return failed
        columns = zip(*(msgspec.structs.astuple(each)[1:] for each in rounds), strict=True)
        return cls("ok", *(None if None in column else statistics.median_low(column) for column in columns))

    @property
    def time_s(self) -> float | None:
        """The time that policies are compared by."""
        return self.makespan_s if self.response_s is None else self.response_s


class ComparedCell(msgspec.Struct, frozen=True):
    """A mix under a policy and a limit: what was measured, and what the simulation predicts."""

    mix: str
    policy: str
    limit: str
    real: Figures
    predicted: Figures

    @property
    def name(self) -> str:
        """The coordinates of the cell."""
        return f"{self.mix}, {self.policy}, {self.limit}"

    @property
    def time(self) -> str:
        """The name of the time that is compared."""
        return "makespan" if self.real.response_s is None else "response"

    @property
    def errors(self) -> dict[str, float]:
        """The relative errors of the figures that can be compared, by name."""
        real, predicted = self.real, self.predicted
        swapped_bytes = max(real.swapped_bytes or 0, predicted.swapped_bytes or 0)
        pairs = {
            self.time: (real.time_s, predicted.time_s),
            "peak": (real.peak_bytes, predicted.peak_bytes),
            "swapped": (real.swapped_bytes, predicted.swapped_bytes) if swapped_bytes > _MIN_SWAPPED_BYTES else None,
        }
        return {
            name: pair[1] / max(pair[0], 1e-9) - 1
            for name, pair in pairs.items()
            if pair is not None and pair[0] is not None and pair[1] is not None
        }


def order_of_pairs(cells: Iterable[ComparedCell]) -> tuple[int, int]:
    """Return how many pairs of policies with a clear real difference have the right order, and how many there are."""
    groups: dict[tuple[str, str], list[ComparedCell]] = {}
    for cell in cells:
        if cell.time in cell.errors:
            groups.setdefault((cell.mix, cell.limit), []).append(cell)
    right = clear = 0
    for group in groups.values():
        for first, second in combinations(group, 2):
            real, predicted = (_ratio(first, second, of) for of in ("real", "predicted"))
            if max(real, 1 / real) > 1 + CLEAR:
                clear += 1
                right += (real > 1) == (predicted > 1)
    return right, clear


def _ratio(first: ComparedCell, second: ComparedCell, of: str) -> float:
    times_s = [getattr(cell, of).time_s for cell in (first, second)]
    return float(times_s[0] / times_s[1])


def tables(cells: Sequence[ComparedCell]) -> str:
    """Return the errors as Markdown: by figure with the goals, by policy, by limit, and the worst cells."""
    right, clear = order_of_pairs(cells)
    order = f"Order of two policies that differ by more than {CLEAR:.0%}: right in {right} of {clear} pairs"
    share = f" ({right / clear:.1%}; goal {ORDER_GOAL:.0%})." if clear else "."
    same = sum(cell.real.outcome == cell.predicted.outcome for cell in cells)
    worst = sorted(cells, key=lambda cell: -abs(cell.errors.get(cell.time, 0.0)))[:_WORST]
    parts = [
        _table(
            ("figure", "cells", "median error", "90 % within", "goal"), [_figure_row(name, cells) for name in GOALS]
        ),
        order + share,
        f"Outcome: the same in {same} of {len(cells)} cells.",
        _by("policy", cells, lambda cell: cell.policy),
        _by("mix", cells, lambda cell: cell.mix),
        _by("limit", cells, lambda cell: cell.limit),
        _table(
            ("cell", "time", "predicted", "error", "swapped", "predicted"),
            [(cell.name, *_both_times(cell), *_both_swapped(cell)) for cell in worst],
        ),
        _others([cell for cell in cells if cell.real.outcome != cell.predicted.outcome]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figure_row(name: str, cells: Iterable[ComparedCell]) -> tuple[str, ...]:
    median, most = GOALS[name]
    found = [abs(cell.errors[name]) for cell in cells if name in cell.errors]
    goal = f"{median:.0%}" + (f", {most:.0%}" if most is not None else "")
    return (name, str(len(found)), *_spread(found), goal)


def _spread(errors: Sequence[float]) -> tuple[str, str]:
    if not errors:
        return "", ""
    return f"{statistics.median(errors):.1%}", f"{sorted(errors)[max(0, -(-9 * len(errors) // 10) - 1)]:.1%}"


def _by(name: str, cells: Iterable[ComparedCell], key: Callable[[ComparedCell], str]) -> str:
    """Return a table of the errors by one coordinate. The bias is the median with its sign."""
    groups: dict[str, list[ComparedCell]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    rows = []
    for value, group in groups.items():
        errors: Mapping[str, list[float]] = {
            name: [cell.errors[name] for cell in group if name in cell.errors] for name in ("peak", "swapped")
        }
        times = [cell.errors[cell.time] for cell in group if cell.time in cell.errors]
        bias = f"{statistics.median(times):+.1%}" if times else ""
        spreads = [_spread([abs(each) for each in found]) for found in (times, *errors.values())]
        rows.append((value, str(len(group)), *spreads[0], bias, spreads[1][0], spreads[2][0]))
    return _table((name, "cells", "time", "90 % within", "bias", "peak", "swapped"), rows)


def _both_times(cell: ComparedCell) -> tuple[str, str, str]:
    real_s, predicted_s = cell.real.time_s, cell.predicted.time_s
    error = cell.errors.get(cell.time)
    return _seconds(real_s), _seconds(predicted_s), "" if error is None else f"{error:+.0%}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"


def _both_swapped(cell: ComparedCell) -> tuple[str, str]:
    sizes = cell.real.swapped_bytes, cell.predicted.swapped_bytes
    first, second = ("" if size is None else format_size(size) for size in sizes)
    return first, second


def _others(cells: Sequence[ComparedCell]) -> str:
    """Return a table of the cells with another outcome."""
    rows = [(cell.name, cell.real.outcome, cell.predicted.outcome) for cell in cells]
    return _table(("cell", "outcome", "predicted"), rows) if rows else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, heads, tablefmt="github", disable_numparse=True)
