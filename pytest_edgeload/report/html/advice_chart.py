"""The chart of an advice: the predicted figure of each policy over the memory limit, the goal, and measured runs. Pure.

Reference: https://plotly.com/javascript/reference/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_edgeload.base.units import exact_size, format_size
from pytest_edgeload.report import advice as texts
from pytest_edgeload.report.html.marks import GREY, Mark, label, marks, seconds, spaced
from pytest_edgeload.results.advice import Advice, ChoiceRun
from pytest_edgeload.results.case import REFERENCE

Chart = dict[str, Any]

_TICK = 0.06  # of the axis, for the label of a limit
_HEIGHT_PX = 560
_BEYOND = 0.03  # of the axis, on both sides of the limits


def curves(advice: Advice) -> Chart:
    """Return the figure of the objective by limit with a line for each policy that works; {} if none does.

    Policies that are never among the best are hidden until they are chosen in the legend.
    """
    lines = _lines(advice)
    if not lines:
        return {}
    looks, shown = marks(lines), _best_anywhere(advice)
    limits = sorted({each.limit_bytes for line in lines.values() for each in line})
    data = [
        *_goal(advice, limits),
        *_recommended(advice),
        *_measured(advice, looks),
        *(
            _line(advice, policy, lines[policy], looks[policy], is_shown=policy in shown)
            for policy in sorted(lines, key=lambda policy: policy not in shown)
        ),
    ]
    values = [value for one in data for value in one["y"] if one.get("visible", True) is True]
    layout = {
        "xaxis": _limit_axis(limits),
        "yaxis": _value_axis(advice, values),
        "legend": {"yref": "container", "y": 0, "yanchor": "bottom"},
        "height": _HEIGHT_PX,
    }
    return {"data": data, "layout": layout}


def _lines(advice: Advice) -> dict[str, list[ChoiceRun]]:
    """Return the predictions of each policy that works under a limit, the best policies first."""
    found: dict[str, list[ChoiceRun]] = {}
    for limit in reversed(advice.limits):
        for each in limit.predictions:
            if each.works:
                found.setdefault(each.choice.policy, []).insert(0, each)
    return found


def _best_anywhere(advice: Advice) -> set[str]:
    """Return the policies that are the best or tied under a limit, and the one that others are compared with."""
    best = {each.best.choice.policy for each in advice.limits if each.best is not None}
    return {REFERENCE, *best, *(policy for each in advice.limits for policy in each.tied)}


def _line(advice: Advice, policy: str, line: Sequence[ChoiceRun], mark: Mark, *, is_shown: bool) -> Chart:
    return {
        "type": "scatter", "mode": "lines+markers", "name": label(policy),
        "visible": True if is_shown else "legendonly",
        "x": [each.limit_bytes for each in line], "y": [_height(advice, each) for each in line],
        "text": [_hover_text(advice, each) for each in line], "hoverinfo": "text",
        "line": {"color": mark.colour, "dash": mark.dash, "width": 2},
        "marker": {"size": 8, "symbol": mark.symbol, "color": mark.colour},
    }  # fmt: skip


def _goal(advice: Advice, limits: Sequence[int]) -> list[Chart]:
    worst = advice.objective.worst
    if worst is None:
        return []
    return [
        {
            "type": "scatter", "mode": "lines", "name": f"goal: {label(texts.goal(advice.objective))}",
            "x": _ends(limits), "y": [_scale(advice) * worst] * 2, "hoverinfo": "name",
            "line": {"color": GREY, "dash": "dot", "width": 2},
        }
    ]  # fmt: skip


def _recommended(advice: Advice) -> list[Chart]:
    """Return a ring around the choice to use."""
    best = advice.recommended
    if best is None:
        return []
    return [
        {
            "type": "scatter", "mode": "markers", "name": "use this", "x": [best.limit_bytes],
            "y": [_height(advice, best)], "text": [_hover_text(advice, best)], "hoverinfo": "text",
            "marker": {"size": 20, "symbol": "circle-open", "color": GREY, "line": {"width": 3}},
        }
    ]  # fmt: skip


def _measured(advice: Advice, looks: Mapping[str, Mark]) -> list[Chart]:
    """Return a cross for each run that confirmed a prediction."""
    runs = [each for each in advice.confirmations if each.measured.value is not None]
    if not runs:
        return []
    return [
        {
            "type": "scatter", "mode": "markers", "name": "measured",
            "x": [each.measured.limit_bytes for each in runs],
            "y": [_height(advice, each.measured) for each in runs],
            "text": [f"measured<br>{_hover_text(advice, each.measured)}" for each in runs], "hoverinfo": "text",
            "marker": {"size": 13, "symbol": "x-thin", "color": GREY,
                       "line": {"width": 3, "color": [looks[each.measured.choice.policy].colour for each in runs]}},
        }
    ]  # fmt: skip


def _hover_text(advice: Advice, each: ChoiceRun) -> str:
    choice, value = each.choice, texts.shown_value(advice.objective, each.value or 0.0)
    threads = texts.thread_words(choice.threads)
    lines = [
        f"<b>{label(choice.policy)}</b> at {exact_size(each.limit_bytes)}",
        f"{texts.figure_name(advice.objective)} {value}",
        f"reader {choice.reader}, {threads}",
        *([] if each.peak_bytes is None else [f"peak {format_size(each.peak_bytes)}"]),
        *([f"to swap {format_size(each.swap_out_bytes)}"] if each.swap_out_bytes else []),
    ]
    return "<br>".join(lines)


def _height(advice: Advice, each: ChoiceRun) -> float:
    return _scale(advice) * (each.value or 0.0)


def _scale(advice: Advice) -> int:
    """Return the factor of values on the axis: shares are in percent."""
    return 1 if advice.objective.kind.unit == "s" else 100


def _ends(limits: Sequence[int]) -> list[float]:
    """Return the ends of the axis of limits."""
    beyond = (max(limits) / min(limits)) ** _BEYOND if len(limits) > 1 else 1 + _BEYOND
    return [min(limits) / beyond, max(limits) * beyond]


def _limit_axis(limits: Sequence[int]) -> Chart:
    low, high = _ends(limits)
    ticks = spaced(limits, (low, high), _TICK)
    texts_of_ticks = [exact_size(round(tick)) for tick in ticks]
    return {"title": {"text": "memory limit"}, "type": "log", "tickvals": ticks, "ticktext": texts_of_ticks}


def _value_axis(advice: Advice, values: Sequence[float]) -> dict[str, object]:
    name = texts.figure_name(advice.objective)
    if advice.objective.kind.unit == "s":
        return seconds(name, values)
    return {"title": {"text": name}, "range": [0, 103], "ticksuffix": " %"}
