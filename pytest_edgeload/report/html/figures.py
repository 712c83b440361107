"""All figures of the page, as the JSON that its script reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.html.charts import by_limit, responses
from pytest_edgeload.report.html.experiment import Experiment, typical
from pytest_edgeload.report.html.marks import marks
from pytest_edgeload.report.html.run import lanes, memory
from pytest_edgeload.results.record import Case, Measurement

_SPANS = (40_000, 100, 3000)
_POINTS = (60_000, 100, 600)
"""How many are drawn: on the whole page, and of one run at least and at most."""

_MEMORY_NOTE = (
    "Anonymous memory and page cache charged to the worker, on top of each other; the kernel keeps their sum below the "
    "limit. What is in swap is beside it."
)


def figures(found: Sequence[Experiment], titled: Sequence[str]) -> dict[str, Any]:
    """Return the charts of each experiment: by limit, the response times at each, and its runs one by one."""
    marked = marks(record.case.policy for one in found for record in one.records)
    runs = sum(len(typical(record)) for one in found for record in one.records)
    made = [
        {
            "title": printable(title),
            "chart": by_limit(one, marked),
            "limits": [{"title": printable(at), "chart": responses(one, at, marked)} for at in one.limits],
            "runs": [_run(case, m, runs) for case, m in _typical(one)],
        }
        for one, title in zip(found, titled, strict=True)
    ]
    return {"experiments": made}


def encoded(value: object) -> str:
    """Return JSON that may stand in a script element: nothing in it ends the element, or begins another."""
    text = msgspec.json.encode(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _typical(one: Experiment) -> Iterator[tuple[Case, Measurement]]:
    for limit in one.limits:
        for record in one.at(limit):
            for measurement in typical(record):
                yield record.case, measurement


def _run(case: Case, run: Measurement, runs: int) -> dict[str, Any]:
    """Return the charts of a run, which has its part of what one page can hold of all `runs`."""
    chart, drawn = lanes(case, run, _part(_SPANS, runs))
    return {
        "title": printable(f"{case.policy} {case.place}, round {run.round}, {run.outcome}"),
        "memory": memory(case, run, _part(_POINTS, runs)),
        "memory_note": _MEMORY_NOTE,
        "lanes": chart,
        "lanes_note": _lanes_note(drawn, len(run.tasks)),
    }


def _part(most: tuple[int, int, int], runs: int) -> int:
    total, least, greatest = most
    return max(least, min(greatest, total // runs))


def _lanes_note(drawn: int, there: int) -> str:
    some = f"The longest {drawn} of {there} tasks" if drawn < there else f"All {there} tasks"
    return f"{some}; gaps are waiting. The run nearest to the median stands for the rounds that were ok."
