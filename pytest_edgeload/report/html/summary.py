"""The texts and tables of the page: the quickest policies, all cases, the machine. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytest_edgeload.base.units import format_duration, format_size
from pytest_edgeload.report.columns import KEYS, Column, Row, column
from pytest_edgeload.report.html.experiment import NO_LIMIT, Experiment
from pytest_edgeload.report.tables import tables
from pytest_edgeload.report.view import View
from pytest_edgeload.report.winners import winner
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Finding
from pytest_edgeload.results.record import REFERENCE, Case, Record
from pytest_edgeload.results.statistics import outcomes, spread

Cells = dict[str, Any]

_MOODS = {"ok": "good", "improved": "good", "regressed": "bad"}  # other verdicts are doubtful
_ALWAYS = ("workload", "limit", "policy")
_USUAL = ("ratio", "bound", "peak", "swap_in", "swap_out", "major_faults", "read", "rounds", "outcome")


def tiles(document: Document, findings: Sequence[Finding]) -> list[Cells]:
    """Return the numbers of cases, of runs with each outcome, and of findings with each verdict."""
    runs = Counter[str]()
    for record in document.records:
        runs.update(outcomes(record))
    verdicts = Counter(finding.verdict for finding in findings)
    return [
        {"count": len(document.records), "label": _plural("case", len(document.records)), "mood": ""},
        *(
            {
                "count": count,
                "label": f"{_plural('run', count)} {outcome}",
                "mood": "good" if outcome == "ok" else "bad",
            }
            for outcome, count in runs.most_common()
        ),
        *(
            {"count": count, "label": f"{verdict} (gate)", "mood": mood(verdict)}
            for verdict, count in verdicts.most_common()
        ),
    ]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def mood(verdict: str) -> str:
    """Return the style of a verdict."""
    return _MOODS.get(verdict, "doubt")


def titles(experiments: Sequence[Experiment]) -> list[str]:
    """Return the title of each experiment: its workload, and the coordinates that distinguish it from the others."""
    names = _distinguishing([one.case for one in experiments], ("workload",), ("policy", "limit"))
    return [
        ", ".join([one.case.workload, *(f"{name} {KEYS[name](one.case) or 'none'}" for name in names)])
        for one in experiments
    ]


def _distinguishing(cases: Sequence[Case], known: Sequence[str], never: Sequence[str] = ()) -> list[str]:
    """Return the coordinates, besides the `known` ones, that are needed to distinguish the cases."""
    titles = [tuple(KEYS[name](case) for name in known) for case in cases]
    names = []
    for name in [name for name in KEYS if name not in {*known, *never}]:
        finer = [(*title, KEYS[name](case)) for title, case in zip(titles, cases, strict=True)]
        if len(set(finer)) > len(set(titles)):
            names.append(name)
            titles = finer
    return names


def winners(experiments: Sequence[Experiment], titles: Sequence[str]) -> Cells:
    """Return the quickest policy of each experiment at each limit; no rows if no policies were compared."""
    limits = dict.fromkeys(limit for one in experiments for limit in one.limits)
    rows: list[Cells] = [
        {"title": title, "cells": [_winner(one, limit) for limit in limits]}
        for one, title in zip(experiments, titles, strict=True)
    ]
    return {"limits": list(limits), "rows": rows if any(cell for row in rows for cell in row["cells"]) else []}


def headlines(winners: Cells) -> Iterator[str]:
    """Yield a sentence on each limit: the quickest policy, or the number of workloads that each policy wins."""
    for i, limit in enumerate(winners["limits"] if winners["rows"] else ()):
        cells = [row["cells"][i] for row in winners["rows"] if row["cells"][i]]
        counts = Counter(cell["policy"] for cell in cells)
        at = "Without a limit" if limit == NO_LIMIT else f"At {limit}"
        if len(cells) == 1:
            yield f"{at} {_sentence(cells[0])}."
        elif cells:
            (first, wins), *rest = counts.most_common()
            others = "".join(f", {policy} for {count}" for policy, count in rest)
            doubtful = sum(bool(cell["close"]) for cell in cells)
            doubt = f"; {doubtful} of these {'is' if doubtful == 1 else 'are'} not certain" if doubtful else ""
            yield f"{at} {first} is the quickest for {wins} of {len(cells)} workloads{others}{doubt}."


def _sentence(cell: Cells) -> str:
    ratio = f", {cell['ratio']}" if cell["ratio"] else ""
    doubt = f"; not certain against {cell['close']}" if cell["close"] else ""
    return f"{cell['policy']} is the quickest: {cell['time']}{ratio}{doubt}"


def _winner(experiment: Experiment, limit: str) -> Cells:
    """Return the winner at a limit as texts; empty if there is none."""
    won = winner(experiment.at(limit))
    if won is None:
        return {}
    return {
        "policy": won.policy,
        "time": format_duration(won.median_s),
        "ratio": "" if won.ratio is None else f"{won.ratio:.2f} x {REFERENCE}",
        "close": ", ".join(record.case.policy for record in won.close),
    }


def table(records: Sequence[Record], view: View) -> Cells:
    """Return a row for each case in the view's order and columns; without columns, in the usual ones."""
    rows = [row for one in tables(records, view) for row in one.rows]
    labels = [*_ALWAYS, *_distinguishing([record.case for record in records], _ALWAYS)]
    columns = [column(name) for name in dict.fromkeys([*labels, *(view.columns or _metrics(records))])]
    return {"columns": columns, "rows": [[_cell(col, row) for col in columns] for row in rows]}


def _cell(col: Column, row: Row) -> Cells:
    return {"text": col.show(row), "value": None if col.is_text else col.value(row), "is_text": col.is_text}


def _metrics(records: Sequence[Record]) -> list[str]:
    has_arrivals = any(record.case.loop != "once" for record in records)
    has_bound = any(spread(record, "bound_s") for record in records)
    usual = [name for name in _USUAL if name != "bound" or has_bound]
    return ["makespan", "interval", *(["response_mean", "response.p90"] if has_arrivals else []), *usual]


def origin(document: Document) -> str:
    """Return the time, machine and commit of the measurement in one line."""
    commit = document.commit
    parts = [document.created, f"{document.machine.processors} x {document.machine.processor}".rstrip(" x")]
    return ", ".join([*parts, *([] if commit is None else [f"commit {commit.id[:12]}"])])


def about(document: Document) -> list[tuple[str, str]]:
    """Return the description of the machine and the session as terms and texts."""
    machine, commit = document.machine, document.commit
    cases = [record.case for record in document.records]
    terms = {
        "measured": document.created,
        "processor": f"{machine.processors} x {machine.processor}".rstrip(" x"),
        "memory": format_size(machine.memory_bytes),
        "kernel": machine.kernel,
        "Python": machine.python,
        "PyTorch": machine.torch,
        "versions": ", ".join(f"{name} {version}" for name, version in document.versions.items()),
        "commit": ""
        if commit is None
        else f"{commit.id} on {commit.branch}{' with uncommitted changes' * commit.is_dirty}",
        "cap": _each(case.cap for case in cases),
        "swap": _each(case.swap for case in cases),
        "threads": _each(case.threads for case in cases),
        "seeds": _each(case.seed for case in cases if case.seed is not None),
        "devices": _each(case.device for case in cases if case.device is not None),
    }
    return [(term, text) for term, text in terms.items() if text]


def _each(values: Iterable[object]) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))
