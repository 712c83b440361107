"""The head of the page: the numbers of outcomes, and the best policies. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.report.columns import KEYS
from pytest_edgeload.report.html.cases import distinguishing
from pytest_edgeload.report.html.experiment import NO_LIMIT, Experiment, sorted_limits
from pytest_edgeload.report.winners import in_words, winner
from pytest_edgeload.results.case import REFERENCE, Case
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.naming import short
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import outcomes, spread

Cells = dict[str, Any]

_MOODS = {"ok": "good", "improved": "good", "regressed": "bad"}  # other verdicts are doubtful


def tiles(document: Document, judgement: Judgement) -> list[Cells]:
    """Return the numbers of cases, of runs with each outcome, of findings with each verdict, and of idle thresholds."""
    runs = Counter[str]()
    for record in document.records:
        runs.update(outcomes(record))
    cases, idle = len(document.records), len(judgement.idle)
    return [
        _tile(cases, _plural("case", cases), ""),
        *(_tile(n, f"{_plural('run', n)} {name}", "good" if name == "ok" else "bad") for name, n in runs.most_common()),
        *(_tile(n, f"{verdict} (gate)", mood(verdict)) for verdict, n in judgement.counts.most_common()),
        *([_tile(idle, f"{_plural('threshold', idle)} judged nothing (gate)", mood("idle"))] if idle else []),
    ]


def _tile(count: int, label: str, mood: str) -> Cells:
    return {"count": count, "label": label, "mood": mood}


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def mood(verdict: str) -> str:
    """Return the style of a verdict."""
    return _MOODS.get(verdict, "doubt")


def titles(experiments: Sequence[Experiment]) -> list[str]:
    """Return the title of each experiment: its subject, and the coordinates that distinguish it from the others.

    The only experiment with programs of no test has no title.
    """
    cases = [one.case for one in experiments]
    names = {
        subject: distinguishing([case for case in cases if _subject(case) == subject], (subject,), ("policy", "limit"))
        for subject in map(_subject, cases)
    }
    return [", ".join(filter(None, _words(case, names[_subject(case)]))) for case in cases]


def _subject(case: Case) -> str:
    """Return the coordinate that names an experiment: the test of functions and commands, which have no workload."""
    return "test" if case.is_program else "workload"


def _words(case: Case, names: Sequence[str]) -> list[str]:
    return [KEYS[_subject(case)](case), *(f"{name} {KEYS[name](case) or 'none'}" for name in names)]


def winners(experiments: Sequence[Experiment], titles: Sequence[str]) -> Cells:
    """Return the best policy of each experiment at each limit, or its only policy if none was compared."""
    limits = sorted_limits(record for one in experiments for record in one.records)
    rows: list[Cells] = [
        {"title": title, "cells": [_winner(one, limit) for limit in limits]}
        for one, title in zip(experiments, titles, strict=True)
    ]
    cells = [cell for row in rows for cell in row["cells"] if cell.get("is_winner")]
    bests = {"The quickest" if cell["is_quickest"] else f"The {cell['superlative']}" for cell in cells}
    best = "The best" if len(bests) > 1 else next(iter(bests), "The quickest")
    return {"limits": list(limits), "rows": rows, "best": best, "is_contest": bool(cells)}


def headlines(winners: Cells) -> Iterator[str]:
    """Yield a sentence on each limit: the best policy, or the number of workloads that each policy wins."""
    for i, limit in enumerate(winners["limits"]):
        cells = [row["cells"][i] for row in winners["rows"] if row["cells"][i].get("is_winner")]
        at = "Without a limit" if limit == NO_LIMIT else f"At {limit}"
        if len(cells) == 1:
            yield f"{at} {_sentence(cells[0])}."
        elif cells:
            yield f"{at}, of {len(cells)} workloads: {_wins(cells)}."


def _sentence(cell: Cells) -> str:
    figures = [cell["time"], cell["ratio"], cell["peak"]]
    took = ", ".join(figure for figure in figures if figure)
    if cell["close"]:
        verb = "took" if cell["is_quickest"] else f"has {cell['figure']}"
        return f"no difference was seen between {cell['policy']} and {cell['close']}; {cell['policy']} {verb} {took}"
    return f"{cell['policy']} {_praise(cell)}: {took}"


def _praise(cell: Cells) -> str:
    return "is the quickest" if cell["is_quickest"] else f"has the {cell['superlative']}"


def _wins(cells: Sequence[Cells]) -> str:
    """Return the number of workloads that each policy wins, and of those in which no difference was seen."""
    counts = Counter((cell["policy"], _praise(cell)) for cell in cells if not cell["close"])
    wins = [f"{policy} {praise} for {count}" for (policy, praise), count in counts.most_common()]
    unseen = len(cells) - sum(counts.values())
    return ", ".join([*wins, *([f"no difference was seen for {unseen}"] if unseen else [])])


def _winner(experiment: Experiment, limit: str) -> Cells:
    """Return the winner at a limit as texts; a single policy is returned without a claim."""
    records = experiment.at(limit)
    won = winner(records, experiment.figure)
    if won is None:
        return _unrivalled(experiment, records)
    return {
        "is_winner": True,
        "policy": won.policy,
        "is_quickest": won.is_quickest,
        "superlative": printable(won.superlative),
        "figure": printable(in_words(won.figure)),
        "time": printable(won.figure.show(won.value)),
        "peak": _peak(won.record),
        "ratio": "" if won.ratio is None else f"{won.ratio:.2f} x {REFERENCE}",
        "close": ", ".join(record.case.policy for record in won.close),
    }


def _unrivalled(experiment: Experiment, records: Sequence[Record]) -> Cells:
    if not records:
        return {}
    if len(records) > 1:
        return {"policy": "", "time": "no good run"}
    [record] = records
    values = experiment.spread(record)
    result = ", ".join(outcomes(record)) if values is None else printable(experiment.figure.show(values.median))
    return {"policy": record.case.policy, "time": result, "peak": _peak(record)}


def _peak(record: Record) -> str:
    """Return the memory that a record needs, with the name of its metric."""
    metric = record.case.memory_metric
    sizes = spread(record, metric)
    return "" if sizes is None else f"{short(metric)} {format_size(round(sizes.median))}"
