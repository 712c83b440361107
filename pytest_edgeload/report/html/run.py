"""The charts of one run: its memory over time, its tasks by lane and the times of its steps.

Plain data in which every name is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pytest_edgeload.report.html.marks import BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, label
from pytest_edgeload.report.tasks import TaskView, tasks
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement, Moment, Timeline
from pytest_edgeload.results.steps import kept_steps, resident_shares

Chart = dict[str, Any]

_STACKED: Chart = {"stackgroup": "held"}
_MEMORY: tuple[tuple[str, str, str, Chart, Chart], ...] = (
    ("anonymous", "anon_bytes", SKY, {"width": 1}, _STACKED),
    ("file", "file_bytes", GREEN, {"width": 1}, _STACKED),
    ("swap", "swap_bytes", RED, {"width": 2.5, "dash": "dash"}, {}),
)
_KINDS = {"task": GREY, "free": GREEN, "init": PINK, "exec": ORANGE, "load": BLUE}  # later ones are drawn on top
_MIB = 1 << 20
_MARGIN = 0.04  # of the makespan, shown on either side of it
_HEADROOM = 1.1  # above all memory, for the label of the limit
_MAX_MOMENTS = 100  # more lines would hide the memory
_MAX_LIMIT = 3  # times the peak; a higher limit is not drawn
_MAX_SEQUENCES = 20  # more lines would hide each other
_LANE_PX, _HEAD_PX, _STEPS_PX = 52, 120, 480


def memory(case: Case, run: Measurement, max_points: int) -> Chart:
    """Return the sampled memory of a run in MiB, thinned to about `max_points`; empty without samples."""
    kept = thinned(run.timeline, max_points)
    if not kept:
        return {}
    line, limit = run.timeline, _visible(case, run.timeline)
    at_s = [line.at_s[i] for i in kept]
    data = [
        {
            "type": "scatter", "mode": "lines", "name": name, "x": at_s, "hovertemplate": "%{y:.1f} MiB",
            "y": [round(getattr(line, field)[i] / _MIB, 3) for i in kept],
            "line": {"color": colour, **style}, **stacked,
        }
        for name, field, colour, style, stacked in _MEMORY
    ]  # fmt: skip
    named = [moment for moment in line.moments if moment.name]
    highest = max(_peak(line), limit or 0, *line.swap_bytes)
    start = "start" if case.is_program else "start of the plan"
    layout = {
        "xaxis": {"title": {"text": f"seconds after the {start}"}, "range": extent(run)},
        "yaxis": {"title": {"text": "MiB"}, "range": [0, _HEADROOM * max(highest, 1) / _MIB]},
        "shapes": [*([] if limit is None else [_limit(case, limit)]), *map(_line, named[:_MAX_MOMENTS])],
        "hovermode": "x unified",
        "legend": {"traceorder": "normal"},
    }
    return {"data": data, "layout": layout}


def lanes(case: Case, run: Measurement, max_spans: int) -> tuple[Chart, int]:
    """Return the longest tasks of a run, at most `max_spans`, with a row for each lane; and their number."""
    views = sorted(tasks(case, run), key=lambda view: view.span.start_s - view.span.end_s)[:max_spans]
    if not views:
        return {}, 0
    names = [f"lane {lane}" for lane in sorted({view.span.lane for view in views})]
    arrivals = _arrivals(case, run)
    data = [_bars(kind, own) for kind in _KINDS if (own := [view for view in views if view.kind == kind])]
    rows = [*(["arrivals"] if arrivals else []), *names]
    layout = {
        "xaxis": {"title": {"text": "seconds after the start of the plan"}, "range": extent(run)},
        "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": rows[::-1], "fixedrange": True},
        "barmode": "overlay",
        "legend": {"traceorder": "reversed"},
        "bargap": 0.25,
        "height": _HEAD_PX + _LANE_PX * len(rows),
    }
    return {"data": [*arrivals, *data], "layout": layout}, len(views)


def steps(case: Case, run: Measurement) -> Chart:
    """Return the time of each step after the first, a line for each of the first requests with several steps.

    If the record has the ends of some steps only, it is the mean of the steps between two of them. Below, a line for
    each network has the share of weights that a step finds in memory. Empty without steps.
    """
    loops = [(r, ends_s) for r, ends_s in enumerate(run.step_ends_s) if len(ends_s) > 1 and r < len(case.requests)]
    data = [_step_line(f"request {r}, {label(case.requests[r].network)}", case.requests[r].steps, ends_s)
            for r, ends_s in loops[:_MAX_SEQUENCES]]  # fmt: skip
    kept = [
        _share_line(label(network), shares)
        for network, shares in resident_shares(run, case.requests).items() if shares
    ]  # fmt: skip
    layout: Chart = {
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {"title": {"text": "seconds per step"}, "rangemode": "tozero"},
        "showlegend": len(data) + len(kept) > 1,
    }
    if kept:
        layout["xaxis"]["anchor"] = "y2"
        layout["yaxis"]["domain"] = [0.4, 1]
        layout["yaxis2"] = {"title": {"text": "% kept"}, "range": [0, 105], "domain": [0, 0.3]}
        layout["height"] = _STEPS_PX
    return {"data": [*data, *kept], "layout": layout} if data else {}


def _share_line(name: str, shares: Mapping[int, float]) -> Chart:
    return {
        "type": "scatter", "mode": "lines+markers", "name": f"kept, {name}", "yaxis": "y2",
        "hovertemplate": "step %{x}: %{y:.1f} % of the weights",
        "x": [*shares], "y": [round(100 * share, 2) for share in shares.values()],
        "marker": {"size": 4, "color": GREY}, "line": {"width": 1, "color": GREY, "dash": "dot"},
    }  # fmt: skip


def _step_line(name: str, count: int, ends_s: Sequence[float]) -> Chart:
    points = list(zip(kept_steps(count), ends_s, strict=False))
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "hovertemplate": "step %{x}: %{y:.3~s}s",
        "x": [step + 1 for step, _ in points[1:]],
        "y": [round((end_s - before_s) / (step - before), 6) for (before, before_s), (step, end_s) in pairwise(points)],
        "marker": {"size": 4}, "line": {"width": 1},
    }  # fmt: skip


def extent(run: Measurement) -> list[float]:
    """Return the range of time to show first: the plan, or everything if the run did not get to its plan."""
    ends = [run.makespan_s or 0.0, *(span.end_s for span in run.tasks), *run.timeline.at_s[-1:]]
    end_s = run.makespan_s or max(ends)
    return [-_MARGIN * end_s, (1 + _MARGIN) * end_s] if end_s > 0 else [run.timeline.at_s[0], 0.0]


def thinned(line: Timeline, max_points: int) -> Sequence[int]:
    """Return the indices of samples to draw: all, or the minima and maxima of equal intervals if there are many."""
    count = len(line.at_s)
    if count <= max_points:
        return range(count)
    columns = (line.anon_bytes, line.file_bytes, line.swap_bytes)
    width = -(-count * 2 * len(columns) // max_points)
    kept = {0, count - 1}
    for begin in range(0, count, width):
        interval = range(begin, min(begin + width, count))
        for column in columns:
            kept |= {min(interval, key=column.__getitem__), max(interval, key=column.__getitem__)}
    return sorted(kept)


def _peak(line: Timeline) -> int:
    return max(anon + file for anon, file in zip(line.anon_bytes, line.file_bytes, strict=True))


def _visible(case: Case, line: Timeline) -> int | None:
    """Return the limit, unless it is so far above the peak that drawing it would flatten the rest."""
    return case.limit_bytes if case.limit_bytes is not None and case.limit_bytes < _MAX_LIMIT * _peak(line) else None


def _limit(case: Case, limit_bytes: int) -> Chart:
    at = limit_bytes / _MIB
    return {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at,
        "line": {"color": GREY, "width": 2, "dash": "dot"},
        "label": {"text": f"limit {label(case.limit or '')}", "textposition": "end", "font": {"color": GREY}},
    }  # fmt: skip


def _line(moment: Moment) -> Chart:
    """Return a vertical line at a moment that the program named, with its name."""
    return {
        "type": "line", "yref": "paper", "x0": moment.at_s, "x1": moment.at_s, "y0": 0, "y1": 1,
        "line": {"color": GREY, "width": 1},
        "label": {"text": label(moment.name), "textposition": "end", "yanchor": "top", "font": {"color": GREY}},
    }  # fmt: skip


def _bars(kind: str, views: Sequence[TaskView]) -> Chart:
    return {
        "type": "bar", "orientation": "h", "name": kind,
        "y": [f"lane {view.span.lane}" for view in views],
        "base": [round(view.span.start_s, 6) for view in views],
        "x": [round(view.span.end_s - view.span.start_s, 6) for view in views],
        "text": [_hover_text(view) for view in views], "textposition": "none",
        "hovertemplate": "%{text}<br>%{x:.3~s}s from %{base:.4~f} s<extra></extra>",
        "marker": {"color": _KINDS[kind], "line": {"width": 0}},
    }  # fmt: skip


def _hover_text(view: TaskView) -> str:
    request = "" if view.info is None else f"<br>request {view.info.request}, {label(view.network)}"
    step = f"<br>step {view.span.step}" if view.span.step else ""
    return label(view.name) + request + step


def _arrivals(case: Case, run: Measurement) -> list[Chart]:
    """Return a row of arrivals if not all requests arrived at once."""
    if not any(run.arrived_s):
        return []
    names = [ask.stream or ask.network for ask in case.requests] or [""] * len(run.arrived_s)
    return [
        {
            "type": "scatter", "mode": "markers", "name": "arrival", "x": list(run.arrived_s),
            "y": ["arrivals"] * len(run.arrived_s),
            "text": [f"request {i}, {label(name)}" for i, name in enumerate(names)],
            "hovertemplate": "%{text}<br>at %{x:.4~f} s<extra></extra>",
            "marker": {"symbol": "triangle-down", "size": 9, "color": GREY},
        }
    ]  # fmt: skip
