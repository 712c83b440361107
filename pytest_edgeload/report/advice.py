"""Advice as text: the best choice under each limit with a bar, the limit to use, how sure it is, what would change it.

Pure. The commands to use next are not part of it, because only front ends spell options.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import exact_size, format_duration, format_number, format_size
from pytest_edgeload.report.bars import bar
from pytest_edgeload.report.grid import Cell, Grid
from pytest_edgeload.results.advice import (
    SLOWEST,
    TIE_SHARE,
    Advice,
    AdviceChange,
    ChoiceRun,
    Confirmation,
    LimitAdvice,
    Objective,
    PolicyChoice,
)

_WIDTH, _GAP = 80, 2
_MAX_TIES = 3  # that a line names
_FIGURES = {
    SLOWEST: "slowest response",
    "makespan_s": "makespan",
    "response_mean_s": "mean response",
    "in_time": "share in time",
}


def text(advice: Advice) -> str:
    """Return the advice with its curve, for a terminal."""
    runs = confirmations(advice)
    title_line = f"{title(advice)}, predicted with {source(advice)}"
    parts = [title_line, _curve(advice), "\n".join(sentences(advice)), "" if runs is None else runs.lines()]
    return "\n\n".join(part for part in parts if part)


def sentences(advice: Advice) -> Iterator[str]:
    """Yield the advice in sentences."""
    yield _recommendation(advice)
    yield from _contradictions(advice)
    yield _certainty(advice)
    yield from (f"the speeds: {printable(fault)}" for fault in advice.faults)
    for change in advice.changes:
        yield _change(advice, change)


def figure_name(objective: Objective) -> str:
    """Return the name of the figure by which choices are compared."""
    return _FIGURES[objective.metric]


def shown_value(objective: Objective, value: float) -> str:
    """Return a value of the figure as a short text with its unit."""
    return format_duration(value) if objective.kind.unit == "s" else f"{value:.0%}"


def title(advice: Advice) -> str:
    """Return the title: the workload, the device and the figure."""
    device = "" if advice.device is None else f" on {advice.device}"
    return printable(f"{advice.workload}{device}: {figure_name(advice.objective)} by memory limit")


def source(advice: Advice) -> str:
    """Return the source of the speeds of all predictions."""
    return "the calibration of this machine" if advice.is_calibrated else "nominal speeds, not those of this machine"


def goal(objective: Objective) -> str:
    """Return the goal in words: `at most 0.5s`; any value without one."""
    if objective.worst is None:
        return "any"
    return f"at {'least' if objective.kind.better == 'higher' else 'most'} {shown_value(objective, objective.worst)}"


def thread_words(threads: int) -> str:
    """Return a number of threads in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def best_by_limit(advice: Advice) -> Grid:
    """Return a row for each limit, the largest first, with its best choice."""
    headers = ("limit", "policy", "reader", "threads", figure_name(advice.objective), "peak")
    rows = tuple(_row(advice, each) for each in reversed(advice.limits))
    return Grid(headers, rows, frozenset({1, 2}), frozenset(range(6)))


def by_policy(advice: Advice) -> Grid:
    """Return a row for each policy, the best first, with its figure under each limit, or the outcome instead."""
    found = [{each.choice.policy: each for each in limit.predictions} for limit in advice.limits]
    policies = dict.fromkeys(policy for limit in reversed(found) for policy in limit)
    rows = tuple(
        (
            Cell(printable(policy)),
            *(_figure(advice, limit, own.get(policy)) for limit, own in zip(advice.limits, found, strict=True)),
        )
        for policy in policies
    )
    headers = ("policy", *(exact_size(limit.limit_bytes) for limit in advice.limits))
    return Grid(headers, rows, frozenset({0}), frozenset(range(len(headers))))


def _figure(advice: Advice, limit: LimitAdvice, each: ChoiceRun | None) -> Cell:
    if each is None:
        return Cell("-")
    if each.value is None:
        return Cell(each.outcome)
    if each.is_bound:
        return Cell(_value(advice.objective, each))
    is_best = limit.best is not None and each.choice.policy in (limit.best.choice.policy, *limit.tied)
    return Cell(shown_value(advice.objective, each.value), "best" if is_best else "")


def _value(objective: Objective, each: ChoiceRun) -> str:
    """Return the value of a prediction, or the bound of it."""
    return ("at most " if each.is_bound else "") + shown_value(objective, each.value or 0.0)


def _curve(advice: Advice) -> str:
    """Return the rows of all limits, each with a bar."""
    grid = best_by_limit(advice)
    if not grid.rows:
        return ""
    headers, texts, everything = (*grid.headers, ""), frozenset({*grid.texts, 6}), frozenset(range(7))
    values = [0.0 if each.best is None else each.best.value or 0.0 for each in reversed(advice.limits)]  # not bounds
    width = Grid(headers, tuple((*row, Cell("")) for row in grid.rows), texts, everything).width
    room, largest = max(0, _WIDTH - width - _GAP), max(values, default=0.0) or 1.0
    bars = (Cell(bar(value / largest * room)) for value in values)
    rows = tuple((*row, end) for row, end in zip(grid.rows, bars, strict=True))
    return Grid(headers, rows, texts, everything).lines()


def _row(advice: Advice, limit: LimitAdvice) -> tuple[Cell, ...]:
    best = limit.nearest
    if best is None:
        return (Cell(exact_size(limit.limit_bytes)), Cell("none works"), *(Cell("-") for _ in range(4)))
    choice, peak_bytes = best.choice, None if best.is_bound else best.peak_bytes  # a bound has that of the beginning
    words = (
        printable(choice.policy),
        choice.reader,
        str(choice.threads),
        _value(advice.objective, best),
        "-" if peak_bytes is None else format_size(peak_bytes),
    )
    return Cell(exact_size(limit.limit_bytes)), *map(Cell, words)


def _recommendation(advice: Advice) -> str:
    best = advice.recommended
    if best is None or best.value is None:
        return _refusal(advice)
    worst, limits = advice.objective.worst, [each.limit_bytes for each in advice.limits]
    if worst is not None:
        reason = f"the smallest limit tried with a {figure_name(advice.objective)} of {goal(advice.objective)}"
    elif best.limit_bytes == max(limits):
        reason = f"smaller limits have a clearly worse {figure_name(advice.objective)}"
    else:
        reason = f"more memory hardly improves the {figure_name(advice.objective)}"
    choice = _choice(best.choice)
    ties = _ties(advice)
    found = f"{figure_name(advice.objective)} {shown_value(advice.objective, best.value)}"
    return f"use {choice} at {exact_size(best.limit_bytes)}: {found}; {reason}{ties}"


def _refusal(advice: Advice) -> str:
    nearest = [each.nearest for each in advice.limits if each.nearest is not None]
    working = [each for each in nearest if each.works] or nearest
    worst = advice.objective.worst
    if not working or worst is None:
        return "no policy works under any of these limits; more memory or smaller networks would help"
    best = min(working, key=lambda each: advice.objective.excess(each.value or 0.0, worst))
    found = f"{_value(advice.objective, best)}, by {_choice(best.choice)} at {exact_size(best.limit_bytes)}"
    return f"no limit gives a {figure_name(advice.objective)} of {goal(advice.objective)}; the best is {found}"


def _choice(choice: PolicyChoice) -> str:
    return printable(f"{choice.policy}, reader {choice.reader}, {thread_words(choice.threads)}")


def _ties(advice: Advice) -> str:
    if not advice.tied:
        return ""
    rest = len(advice.tied) - _MAX_TIES
    more = f" and {rest} more" if rest > 0 else ""
    return f"; tied with {printable(', '.join(advice.tied[:_MAX_TIES]))}{more}, within {TIE_SHARE:.0%}"


def _certainty(advice: Advice) -> str:
    known = advice.certainty
    if known is None:
        return "how sure: not confirmed; no prediction was compared with a run on this machine"
    count = f"{known.confirmed} confirmed prediction{'' if known.confirmed == 1 else 's'}"
    return (
        f"how sure: {count} on this machine differed from the runs by {known.median_error:.0%} (median) and at most "
        f"{known.max_error:.0%}"
    )


def _contradictions(advice: Advice) -> Iterator[str]:
    """Yield a sentence if the run of the recommended choice fails, or misses the goal that its prediction meets."""
    for each in advice.confirmations:
        if each.predicted != advice.recommended:
            continue
        value, worst = each.measured.value, advice.objective.worst
        if value is None:
            yield f"but its run at {exact_size(each.measured.limit_bytes)} ended with {each.measured.outcome}"
        elif worst is not None and not advice.objective.is_met(value):
            found = f"{figure_name(advice.objective)} of {shown_value(advice.objective, value)}"
            yield f"but its run has a {found}, which misses the goal; try more memory"


def _change(advice: Advice, change: AdviceChange) -> str:
    """Return a sentence on another choice that is better in other circumstances."""
    policy = printable(change.choice.policy)
    where = {
        "less memory": f"at {exact_size(round(change.at))}",
        "more memory": f"at {exact_size(round(change.at))}",
        "slower reads": f"with reads at {format_size(change.at)}/s",
        "slower processor": f"with a processor {format_number(1 / change.at)} times slower",
    }[change.circumstance]
    assert advice.recommended is not None  # without one nothing changes it
    own = printable(advice.recommended.choice.policy)
    if change.gain is None:
        return f"it would change: {where}, {policy} works and {own} does not"
    return f"it would change: {where}, {own} is {change.gain:.0%} behind {policy}"


def confirmations(advice: Advice) -> Grid | None:
    """Return a table of the runs that were made, each next to its prediction; None without a run."""
    if not advice.confirmations:
        return None
    headers = ("confirmed", "reader", "threads", "limit", "predicted", "measured", "error")
    rows = tuple(_confirmation(advice, each) for each in advice.confirmations)
    return Grid(headers, rows, frozenset({0, 1}), frozenset(range(7)))


def _confirmation(advice: Advice, each: Confirmation) -> tuple[Cell, ...]:
    choice, measured = each.predicted.choice, each.measured
    found = measured.outcome if measured.value is None else shown_value(advice.objective, measured.value)
    predicted = (
        each.predicted.outcome if each.predicted.value is None else shown_value(advice.objective, each.predicted.value)
    )
    error = "-" if each.error is None else f"{each.error:.0%}"
    limit = exact_size(measured.limit_bytes)
    words = printable(choice.policy), choice.reader, str(choice.threads), limit, predicted, found, error
    return tuple(map(Cell, words))
