"""All charts of the page as the JSON that its script reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.html.charts import by_limit, response_times, responses
from pytest_edgeload.report.html.experiment import Experiment, typical
from pytest_edgeload.report.html.marks import marks
from pytest_edgeload.report.html.run import lanes, memory, steps
from pytest_edgeload.report.tables import tables
from pytest_edgeload.report.view import View
from pytest_edgeload.report.winners import in_words
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement


class _Share(NamedTuple):
    """The number of items drawn on the whole page, and the minimum and maximum for each run."""

    total: int
    min: int
    max: int

    def per_run(self, runs: int) -> int:
        """Return the number of items for each of so many runs."""
        return max(self.min, min(self.max, self.total // runs))


_SPANS = _Share(40_000, 100, 3000)
_POINTS = _Share(60_000, 100, 600)

_MEMORY_NOTE = (
    "Anonymous memory and page cache charged to the run, stacked; the kernel keeps their sum below the limit. "
    "Swapped memory is a line of its own."
)

_STEPS_NOTE = (
    "Above: from the end of a step to the end of the next. Below: the share of the weights that a step finds in memory "
    "and does not load. The first step, which reads all weights, is left out."
)


def figures(compared: Sequence[Experiment], titles: Sequence[str]) -> dict[str, Any]:
    """Return the charts of each experiment: its figures by limit, response times at each limit, and typical runs."""
    marked = marks(record.case.policy for one in compared for record in one.records)
    runs = sum(len(typical(record)) for one in compared for record in one.records)
    charts = [
        {
            "title": printable(title),
            "conditions": conditions(one),
            "charts": [
                {"title": printable(in_words(figure)), "chart": by_limit(one.by(figure), marked)}
                for figure in one.figures
            ],
            "limits": [
                {"title": printable(at), "chart": responses(one, at, marked), "missing": _missing(one, at)}
                for at in one.limits
            ],
            "runs": [_run(case, m, runs) for case, m in _typical(one)],
        }
        for one, title in zip(compared, titles, strict=True)
    ]
    return {"experiments": charts}


def conditions(one: Experiment) -> list[str]:
    """Return the lines that the tables of a terminal have in their titles: cap, device, arrivals, bound."""
    return list(dict.fromkeys(line for table in tables(one.records, View()) for line in table.title[1:]))


def _missing(one: Experiment, limit: str) -> str:
    """Return the reason for a missing chart of response times."""
    if response_times(one, limit):
        return "Each policy has a single response time here; the table of cases has them."
    return "There are no response times here: peers, functions and commands report only their total time."


def _typical(one: Experiment) -> Iterator[tuple[Case, Measurement]]:
    for limit in one.limits:
        for record in one.at(limit):
            for measurement in typical(record):
                yield record.case, measurement


def _run(case: Case, run: Measurement, runs: int) -> dict[str, Any]:
    """Return the charts of a run, which are thinned according to the number of `runs` on the page."""
    chart, drawn = lanes(case, run, _SPANS.per_run(runs))
    return {
        "title": printable(f"{case.policy} {case.place}, round {run.round}, {run.outcome}"),
        "memory": memory(case, run, _POINTS.per_run(runs)),
        "memory_note": _MEMORY_NOTE,
        "lanes": chart,
        "lanes_note": _lanes_note(drawn, len(run.tasks)),
        "steps": steps(case, run),
        "steps_note": _STEPS_NOTE,
    }


def _lanes_note(drawn: int, count: int) -> str:
    shown = f"The longest {drawn} of {count} tasks" if drawn < count else f"All {count} tasks"
    return f"{shown}; gaps are waiting times. Of the rounds that were ok, the one nearest to the median is shown."
