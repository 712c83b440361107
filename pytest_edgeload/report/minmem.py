"""The smallest limits of a case as text or JSON; the text also of a search that was interrupted."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.report import curve
from pytest_edgeload.report.curve import shown
from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.minmem import (
    KEEPS_IN_MEMORY,
    SWAPPED_BYTES,
    WORKS,
    Goal,
    Smallest,
    Trial,
    known_to_fail,
    known_to_work,
)

_MAX_CONTRADICTIONS = 3  # that a line names
_LABELS = {WORKS: "works without swap", KEEPS_IN_MEMORY: "does not swap"}


def text(result: Smallest) -> str:
    """Return a line on each smallest limit with the runs near it, between a title and the units, and the curve."""
    lines = dict(_lines(result))
    width = max(map(len, lines))
    body = [_title(result), *(f"{label:<{width}}  {words}" for label, words in lines.items()), _units(result)]
    chart = curve.text(result)
    return "\n".join([*body, *(["", chart] if chart else [])])


def line(trial: Trial, figures: Mapping[str, Metric]) -> str:
    """Return a run in words, with the detail of an outcome other than ok and oom."""
    words = [trial.outcome if trial.outcome in {"ok", "oom"} else f"{trial.outcome} ({printable(trial.detail)})"]
    words += [f"{name} {shown(name, value, figures)}" for name, value in trial.values.items()]
    if trial.swap_out_bytes is not None and trial.may_swap:
        words.append(f"{format_size(trial.swap_out_bytes)} to swap")
    limit = "no limit" if trial.limit_bytes is None else format_size(trial.limit_bytes)
    return f"{limit}, swap {'on' if trial.may_swap else 'off'}: {', '.join(words)}"


def _title(result: Smallest) -> str:
    case = result.case
    subject = case.policy if case.is_program else f"{case.workload} under {case.policy}, reader {case.reader}"
    subject = ", ".join(filter(None, [subject, case.form]))
    return printable(f"{subject}, {case.threads} threads, cap {case.cap}, swap {case.swap}")


def _units(result: Smallest) -> str:
    idle = "" if result.idle_bytes is None else f"an idle worker needs {format_size(result.idle_bytes)}; "
    return (
        f"{idle}limits are multiples of {format_size(result.step_bytes)}; "
        f"less than {format_size(SWAPPED_BYTES)} written to swap does not count"
    )


def _lines(result: Smallest) -> Iterator[tuple[str, str]]:
    """Yield the label of each line, and its words."""
    yield "with plenty", _plenty(result)
    for name, goal in result.goals.items():
        label = _LABELS.get(name, name)
        yield label, _found(result, goal, result.found[name]) if name in result.found else _so_far(result, goal)
    if KEEPS_IN_MEMORY not in result.goals:
        reason = f"not tested, because swap is {result.case.swap}; a swap file, which needs root, helps"
        yield _LABELS[KEEPS_IN_MEMORY], reason


def _plenty(result: Smallest) -> str:
    """Return the medians of the runs without a limit, with their range, and their largest memory."""
    runs = [trial for trial in result.trials if trial.limit_bytes is None]
    values = {name: [run.values[name] for run in runs if name in run.values] for name in result.figures}
    words = [f"{name} {_spread(name, seen, result.figures)}" for name, seen in values.items() if seen]
    sizes = {
        "charged": _largest(run.charged_bytes for run in runs),
        "anonymous": _largest(run.anon_bytes for run in runs),
    }
    words += [f"{format_size(size)} {name}" for name, size in sizes.items() if size is not None]
    return ", ".join(words)


def _spread(name: str, values: Sequence[float], figures: Mapping[str, Metric]) -> str:
    median, low, high = (shown(name, value, figures) for value in (statistics.median(values), min(values), max(values)))
    return median if low == high else f"{median} ({low} to {high})"


def _largest(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)


def _found(result: Smallest, goal: Goal, limit_bytes: int | None) -> str:
    if limit_bytes is None:
        return "under no limit up to all memory"
    runs = len(result.at(limit_bytes, goal))
    above = "" if result.idle_bytes is None else f", base+{format_size(limit_bytes - result.idle_bytes)}"
    nearest = result.nearest_failure(goal, limit_bytes)
    below = "no smaller limit failed" if nearest is None else f"at {line(nearest, result.figures)}"
    against = _contradictions(result, goal, limit_bytes)
    return f"from {format_size(limit_bytes)} ({limit_bytes} bytes{above}): {runs} of {runs} runs; {below}{against}"


def _so_far(result: Smallest, goal: Goal) -> str:
    """Return what the runs of an interrupted search say about the smallest limit."""
    works, fails = known_to_work(goal, result.trials), known_to_fail(goal, result.trials)
    known = [f"works at {format_size(works)}"] if works is not None else []
    known += [f"fails at {format_size(fails)}"] if fails is not None else []
    return f"not searched to the end: {', '.join(known) or 'no run yet'}"


def _contradictions(result: Smallest, goal: Goal, limit_bytes: int) -> str:
    """Return the limits with runs that contradict the smallest one, and the number of successful runs at each."""
    counts = []
    for limit in result.contradicting(goal, limit_bytes):
        runs = result.at(limit, goal)
        counts.append(f"{format_size(limit)} ({sum(map(goal.is_met, runs))} of {len(runs)})")
    rest = len(counts) - _MAX_CONTRADICTIONS
    more = f" and {rest} more limits" if rest > 0 else ""
    return f"; contradicted at {', '.join(counts[:_MAX_CONTRADICTIONS])}{more}" if counts else ""


def _json(result: Smallest) -> str:
    return msgspec.json.format(msgspec.json.encode(result)).decode()


FORMATS: Mapping[str, Callable[[Smallest], str]] = {"text": text, "json": _json}
"""The formats of the result by name."""
