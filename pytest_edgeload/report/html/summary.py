"""What the page says in words and cells: who is quickest where, all cases, what failed, the machine. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytest_edgeload.base.units import format_duration, format_size
from pytest_edgeload.report.columns import KEYS, Column, Row, column
from pytest_edgeload.report.html.experiment import NO_LIMIT, Experiment
from pytest_edgeload.report.tables import tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding
from pytest_edgeload.results.record import REFERENCE, Case, Record
from pytest_edgeload.results.statistics import Interval, estimate, outcomes, ratio, runs_of, spread
from pytest_edgeload.results.threshold import Figure

Cells = dict[str, Any]

_MOODS = {"ok": "good", "improved": "good", "regressed": "bad"}  # anything else is in doubt
_ALWAYS = ("workload", "limit", "policy")
_USUAL = ("ratio", "bound", "peak", "swap_in", "swap_out", "major_faults", "read", "rounds", "outcome")


def tiles(document: Document, findings: Sequence[Finding]) -> list[Cells]:
    """Return how many cases and runs there are, and how each outcome and verdict came up."""
    found = Counter[str]()
    for record in document.records:
        found.update(outcomes(record))
    verdicts = Counter(finding.verdict for finding in findings)
    return [
        {"count": len(document.records), "what": _plural("case", len(document.records)), "mood": ""},
        *(
            {"count": count, "what": f"{_plural('run', count)} {outcome}", "mood": "good" if outcome == "ok" else "bad"}
            for outcome, count in found.most_common()
        ),
        *(
            {"count": count, "what": f"{verdict} by the gate", "mood": mood(verdict)}
            for verdict, count in verdicts.most_common()
        ),
    ]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def mood(verdict: str) -> str:
    """Return how a verdict is shown."""
    return _MOODS.get(verdict, "doubt")


def titles(experiments: Sequence[Experiment]) -> list[str]:
    """Return what each experiment is called: its workload, and what tells it from others of that workload."""
    telling = _telling([one.case for one in experiments], ("workload",), ("policy", "limit"))
    return [
        ", ".join([one.case.workload, *(f"{name} {KEYS[name](one.case) or 'none'}" for name in telling)])
        for one in experiments
    ]


def _telling(cases: Sequence[Case], known: Sequence[str], never: Sequence[str] = ()) -> list[str]:
    """Return the names of coordinates that tell those cases apart which the `known` ones do not."""
    told = [tuple(KEYS[name](case) for name in known) for case in cases]
    names = []
    for name in [name for name in KEYS if name not in {*known, *never}]:
        finer = [(*words, KEYS[name](case)) for words, case in zip(told, cases, strict=True)]
        if len(set(finer)) > len(set(told)):
            names.append(name)
            told = finer
    return names


def winners(experiments: Sequence[Experiment], titled: Sequence[str]) -> Cells:
    """Return the quickest policy of each experiment at each limit; no rows where nothing was compared."""
    limits = dict.fromkeys(limit for one in experiments for limit in one.limits)
    rows: list[Cells] = [
        {"title": title, "cells": [_winner(one, limit) for limit in limits]}
        for one, title in zip(experiments, titled, strict=True)
    ]
    return {"limits": list(limits), "rows": rows if any(cell for row in rows for cell in row["cells"]) else []}


def headlines(won: Cells) -> Iterator[str]:
    """Yield a sentence on each limit: which policy is the quickest, or which policies how often."""
    for i, limit in enumerate(won["limits"] if won["rows"] else ()):
        cells = [row["cells"][i] for row in won["rows"] if row["cells"][i]]
        counts = Counter(cell["policy"] for cell in cells)
        at = "Without a limit" if limit == NO_LIMIT else f"At {limit}"
        if len(cells) == 1:
            yield f"{at} {_sentence(cells[0])}."
        elif cells:
            (first, most), *rest = counts.most_common()
            others = "".join(f", {policy} for {count}" for policy, count in rest)
            doubtful = sum(bool(cell["close"]) for cell in cells)
            doubt = f"; {doubtful} of these {'is' if doubtful == 1 else 'are'} not certain" if doubtful else ""
            yield f"{at} {first} is the quickest for {most} of {len(cells)} workloads{others}{doubt}."


def _sentence(cell: Cells) -> str:
    ratio = f", {cell['ratio']}" if cell["ratio"] else ""
    doubt = f"; not certain against {cell['close']}" if cell["close"] else ""
    return f"{cell['policy']} is the quickest: {cell['time']}{ratio}{doubt}"


def _winner(experiment: Experiment, limit: str) -> Cells:
    """Return the policy with the least median, and those of which it is not certain that they are slower.

    Empty where there is but one, or no run was ok.
    """
    there = experiment.at(limit)
    timed = [record for record in there if spread(record, experiment.metric)]
    if len(there) == 1 or not timed:
        return {}
    best, *others = timed
    found = spread(best, experiment.metric)
    assert found is not None
    reference = next((record for record in timed if record.case.policy == REFERENCE), None)
    share = None if reference is None or reference is best else ratio(best, reference, experiment.metric)
    close = [record.case.policy for record in others if _overlap(_interval(best), _interval(record))]
    return {
        "policy": best.case.policy,
        "time": format_duration(found.median),
        "ratio": "" if share is None else f"{share:.2f} x {REFERENCE}",
        "close": ", ".join(close),
    }


def _interval(record: Record) -> Interval | None:
    found = estimate(runs_of(record, Figure(record.case.main_metric)))
    return None if found is None else found.interval


def _overlap(one: Interval | None, other: Interval | None) -> bool:
    """Tell whether two intervals meet; of a single round nothing is certain."""
    return one is None or other is None or (one.low <= other.high and other.low <= one.high)


def table(records: Sequence[Record], view: View) -> Cells:
    """Return all cases, a row each, in the view's order and columns, or in those columns that most will want."""
    found = [row for one in tables(records, view) for row in one.rows]
    labels = [*_ALWAYS, *_telling([record.case for record in records], _ALWAYS)]
    columns = [column(name) for name in dict.fromkeys([*labels, *(view.columns or _metrics(records))])]
    return {"columns": columns, "rows": [[_cell(made, row) for made in columns] for row in found]}


def _cell(made: Column, row: Row) -> Cells:
    return {"text": made.show(row), "value": None if made.is_text else made.value(row), "is_text": made.is_text}


def _metrics(records: Sequence[Record]) -> list[str]:
    kept_coming = any(record.case.loop != "once" for record in records)
    has_bound = any(spread(record, "bound_s") for record in records)
    usual = [name for name in _USUAL if name != "bound" or has_bound]
    return ["makespan", "interval", *(["response_mean", "response.p90"] if kept_coming else []), *usual]


def origin(document: Document) -> str:
    """Return when and on what the records were measured, and of which commit, in one line."""
    commit = document.commit
    parts = [document.created, f"{document.machine.processors} x {document.machine.processor}".rstrip(" x")]
    return ", ".join([*parts, *([] if commit is None else [f"commit {commit.id[:12]}"])])


def about(document: Document) -> list[tuple[str, str]]:
    """Return what is known of the machine and the session."""
    machine, commit = document.machine, document.commit
    cases = [record.case for record in document.records]
    found = {
        "measured": document.created,
        "processor": f"{machine.processors} x {machine.processor}".rstrip(" x"),
        "memory": format_size(machine.memory_bytes),
        "kernel": machine.kernel,
        "Python": machine.python,
        "PyTorch": machine.torch,
        "versions": ", ".join(f"{name} {version}" for name, version in document.versions.items()),
        "commit": ""
        if commit is None
        else f"{commit.id} on {commit.branch}{', and uncommitted changes' * commit.is_dirty}",
        "cap": _each(case.cap for case in cases),
        "swap": _each(case.swap for case in cases),
        "threads": _each(case.threads for case in cases),
        "seeds": _each(case.seed for case in cases if case.seed is not None),
        "devices": _each(case.device for case in cases if case.device is not None),
    }
    return [(term, text) for term, text in found.items() if text]


def _each(values: Iterable[object]) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))
