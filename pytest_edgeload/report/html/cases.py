"""The table of all cases. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_edgeload.report.columns import KEYS, Column, Row, column, figure_column
from pytest_edgeload.report.tables import as_program, tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import REFERENCE, Case
from pytest_edgeload.results.own import optional_metrics, own_figures
from pytest_edgeload.results.record import Record

_ALWAYS, _OF_PROGRAMS = ("workload", "limit", "policy"), ("limit", "policy")
_ARRIVING = ("response_mean", "response.p90")
_STREAMS = ("in_time", "worst_in_time", "xr_score", "fairness")
_MEMORY, _MEMORY_OF_PROGRAMS = ("peak",), ("peak_anon", "peak_file", "peak_charged")
_USUAL = ("swap_in_out", "major_faults", "read")
_STEPS = ("first_step", "step_mean", "step_bound", "read_per_step")
_SHORT = {
    "in_time": "in time",
    "worst_in_time": "worst in time",
    "xr_score": "score",
    "response_mean": "response s",
    "response.p90": "p90 s",
    "major_faults": "faults",
    "read_per_step": "read/step",
}


def table(records: Sequence[Record], view: View) -> dict[str, Any]:
    """Return a row for each case in the view's order and columns; without columns, in the usual ones.

    `omitted` has the titles of the usual columns without a value other than 0.
    """
    rows = [row for one in tables(records, view) for row in one.rows]
    own = optional_metrics(records)
    metrics = [column(name, own) for name in view.columns] or _metrics(records)
    empty = [] if view.columns else [col for col in metrics if not any(col.value(row) for row in rows)]
    outcome = [] if view.columns else ["outcome"]
    cases = [record.case for record in records]
    are_programs = all(case.is_program for case in cases)
    always = _OF_PROGRAMS if are_programs else _ALWAYS
    labels = [column(name) for name in (*always, *outcome, *distinguishing(cases, always))]
    titled = map(as_program, labels) if are_programs else labels
    columns = list({col.name: col for col in (*titled, *metrics) if col not in empty}.values())
    return {
        "columns": columns,
        "rows": [[_cell(col, row) for col in columns] for row in rows],
        "omitted": [col.title for col in empty if rows],
    }


def _metrics(records: Sequence[Record]) -> list[Column]:
    has_arrivals = any(record.case.loop != "once" for record in records)
    has_streams = any(record.case.main_metric == "in_time" for record in records)
    has_steps = any(ask.steps > 1 for record in records for ask in record.case.requests)
    are_programs = {record.case.is_program for record in records}
    memory = [*(_MEMORY if False in are_programs else ()), *(_MEMORY_OF_PROGRAMS if True in are_programs else ())]
    over_time = [
        *(_STREAMS if has_streams else ()),
        *(_ARRIVING if has_arrivals else ()),
        *(_STEPS if has_steps else ()),
    ]
    ratio = ["ratio"] if False in are_programs or REFERENCE in {record.case.policy for record in records} else []
    knows_memory = any(m.bound_memory_s is not None for record in records for m in record.rounds)
    bound = ["bound", *(["memory_bound"] if knows_memory else [])] if False in are_programs else []
    names = ["makespan", *over_time, "interval", *ratio, *bound, *memory, *_USUAL]
    main, *others = (replace(column(name), title=_SHORT[name]) if name in _SHORT else column(name) for name in names)
    return [main, *map(figure_column, own_figures(records)), *others]


def distinguishing(cases: Sequence[Case], known: Sequence[str], never: Sequence[str] = ()) -> list[str]:
    """Return the coordinates, besides the `known` ones, that are needed to distinguish the cases."""
    titles = [tuple(KEYS[name](case) for name in known) for case in cases]
    names = []
    for name in [name for name in KEYS if name not in {*known, *never}]:
        finer = [(*title, KEYS[name](case)) for title, case in zip(titles, cases, strict=True)]
        if len(set(finer)) > len(set(titles)):
            names.append(name)
            titles = finer
    return names


def _cell(col: Column, row: Row) -> dict[str, Any]:
    return {"text": col.show(row), "value": None if col.is_text else col.value(row), "is_text": col.is_text}
