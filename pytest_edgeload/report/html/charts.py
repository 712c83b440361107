"""The charts of an experiment, as plotly's figures: plain data, in which every name is escaped. Pure.

Reference: https://plotly.com/javascript/reference/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_edgeload.base.units import format_duration, format_size
from pytest_edgeload.report.html.experiment import Experiment, limit_of
from pytest_edgeload.report.html.marks import GREY, Mark, label, seconds, spanning
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import Spread, outcomes, runs_of, spread
from pytest_edgeload.results.threshold import Figure

Chart = dict[str, Any]

_SWAPPED_BYTES = 1 << 20  # less is the machine's own coming and going
_MOST_POINTS = 400  # of one distribution; more make a file larger, and no line different
_ASIDE = 0.008  # of the axis, from one line's points to the next's at the same limit
_ROW_PX = 34


def by_limit(experiment: Experiment, marks: Mapping[str, Mark]) -> Chart:
    """Return the main metric over the limits, a line for each policy; bars where there is a single limit."""
    limits = list(experiment.limits)
    return _bars(experiment, limits[0], marks) if len(limits) == 1 else _curves(experiment, marks)


def responses(experiment: Experiment, limit: str, marks: Mapping[str, Mark]) -> Chart:
    """Return the shares of requests answered within a time, of all rounds of each policy; empty without any."""
    found = {record.case.policy: sorted(_responses(record)) for record in experiment.at(limit)}
    found = {policy: times for policy, times in found.items() if times}
    data = [_steps(policy, times, marks[policy]) for policy, times in found.items()]
    layout = {
        "xaxis": spanning("response time", [time for times in found.values() for time in times]),
        "yaxis": {"title": {"text": "requests answered"}, "range": [0, 103], "ticksuffix": " %"},
    }
    return {"data": data, "layout": layout} if data else {}


def _responses(record: Record) -> Iterator[float]:
    for run in runs_of(record, Figure("response_s", "p50")):  # a percentile's samples are single requests
        yield from run


def _steps(policy: str, times: Sequence[float], mark: Mark) -> Chart:
    """Return the distribution of sorted times as steps, thinned to equal shares where there are many."""
    count = len(times)
    kept = (
        [round(i * (count - 1) / (_MOST_POINTS - 1)) for i in range(_MOST_POINTS)]
        if count > _MOST_POINTS
        else range(count)
    )
    return {
        "type": "scatter", "mode": "lines", "name": label(policy),
        "x": [times[0], *(times[i] for i in kept)], "y": [0, *(100 * (i + 1) / count for i in kept)],
        "line": {"color": mark.colour, "dash": mark.dash, "shape": "hv", "width": 2},
        "hovertemplate": "%{y:.0f} % within %{x:.4g} s",
    }  # fmt: skip


def _curves(experiment: Experiment, marks: Mapping[str, Mark]) -> Chart:
    places = _places(experiment)
    policies = list(dict.fromkeys(record.case.policy for record in experiment.records))
    data = [
        _curve(experiment, policy, {limit: x * aside for limit, x in places.items()}, marks[policy])
        for policy, aside in zip(policies, _asides(list(places.values()), len(policies)), strict=True)
    ]
    values = [value for line in data for value in line["y"]]
    axis = {
        "title": {"text": "memory limit"}, "type": "log", "tickvals": list(places.values()),
        "ticktext": [label(limit) for limit in places], "showgrid": True,
    }  # fmt: skip
    layout = {
        "xaxis": axis,
        "yaxis": seconds(experiment.what, [*values, *_bounds(experiment)]),
        "shapes": [_bound(at_s, "y") for at_s in _bounds(experiment)],
    }
    failed = _failed(experiment, places, values, marks)
    return {"data": [line for line in (*data, failed) if line["x"]], "layout": layout}


def _places(experiment: Experiment) -> dict[str, float]:
    """Return where each limit stands on the axis: at its bytes, and no limit at twice the largest."""
    limits = experiment.limits
    most = max((size for size in limits.values() if size is not None), default=1)
    return {limit: 2 * most if size is None else size for limit, size in limits.items()}


def _asides(places: Sequence[float], count: int) -> list[float]:
    """Return by what each line's places are multiplied, so that ranges at one limit stand beside each other."""
    step = (max(places) / min(places)) ** _ASIDE
    return [step ** (i - (count - 1) / 2) for i in range(count)]


def _curve(experiment: Experiment, policy: str, places: Mapping[str, float], mark: Mark) -> Chart:
    points = [
        (record, found)
        for limit in places
        for record in experiment.at(limit)
        if record.case.policy == policy and (found := spread(record, experiment.metric)) is not None
    ]
    return {
        "type": "scatter", "mode": "lines+markers", "name": label(policy),
        "x": [places[limit_of(record)] for record, _ in points], "y": [found.median for _, found in points],
        "error_y": _range(found for _, found in points),
        "text": [_words(record, found) for record, found in points], "hoverinfo": "text",
        "line": {"color": mark.colour, "dash": mark.dash, "width": 2},
        "marker": {"size": 10, "symbol": [mark.symbol + "-open" * has_swapped(record) for record, _ in points],
                   "color": mark.colour, "line": {"width": 2, "color": mark.colour}},
    }  # fmt: skip


def _range(found: Iterable[Spread]) -> Chart:
    found = list(found)
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": 5,
        "array": [one.max - one.median for one in found],
        "arrayminus": [one.median - one.min for one in found],
    }  # fmt: skip


def _failed(
    experiment: Experiment, places: Mapping[str, float], values: Sequence[float], marks: Mapping[str, Mark]
) -> Chart:
    """Return crosses above all times for what had no good run, one above the other where there are several."""
    top = max(values, default=1.0)
    crosses = [
        (record, top * 1.12 ** (height + 1))
        for limit in places
        for height, record in enumerate(r for r in experiment.at(limit) if spread(r, experiment.metric) is None)
    ]
    return {
        "type": "scatter", "mode": "markers+text", "name": "no good run",
        "x": [places[limit_of(record)] for record, _ in crosses], "y": [height for _, height in crosses],
        "text": [f"{label(record.case.policy)} {_outcomes(record)}" for record, _ in crosses],
        "textposition": "middle right", "hoverinfo": "text",
        "marker": {"symbol": "x", "size": 9, "color": [marks[record.case.policy].colour for record, _ in crosses]},
    }  # fmt: skip


def _bars(experiment: Experiment, limit: str, marks: Mapping[str, Mark]) -> Chart:
    records = experiment.at(limit)
    found = [spread(record, experiment.metric) or Spread(0, 0, 0) for record in records]
    data = {
        "type": "bar", "orientation": "h", "showlegend": False,
        "y": [_named(record, one) for record, one in zip(records, found, strict=True)],
        "x": [one.median for one in found],
        "error_x": {**_range(found), "color": GREY},
        "hovertext": [_words(record, one) for record, one in zip(records, found, strict=True)], "hoverinfo": "text",
        "marker": {"color": [marks[record.case.policy].colour for record in records],
                   "pattern": {"shape": ["/" if has_swapped(record) else "" for record in records]}},
    }  # fmt: skip
    layout = {
        "xaxis": seconds(experiment.what, ()),
        "yaxis": {"autorange": "reversed", "type": "category"},
        "shapes": [_bound(at_s, "x") for at_s in _bounds(experiment)],
        "height": 120 + _ROW_PX * len(records),
    }
    return {"data": [data], "layout": layout}


def _named(record: Record, found: Spread) -> str:
    """Return what stands beside a bar; inside or behind it, the range would be written over it."""
    return (
        f"{label(record.case.policy)}  <b>{format_duration(found.median) if found.median else _outcomes(record)}</b> "
    )


def _bounds(experiment: Experiment) -> list[float]:
    """Return what no run can beat, where it is known and the chart is of makespans."""
    found = [spread(record, "bound_s") for record in experiment.records]
    return [one.median for one in found if one is not None and experiment.metric == "makespan_s"][:1]


def _bound(at_s: float, axis: str) -> Chart:
    other = "x" if axis == "y" else "y"
    upright = {"textangle": 0, "yanchor": "bottom"} if axis == "x" else {}
    return {
        "type": "line", "layer": "below", "line": {"color": GREY, "width": 1.5, "dash": "dot"},
        f"{axis}0": at_s, f"{axis}1": at_s, f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1,
        "label": {"text": "bound", "textposition": "end", "font": {"color": GREY}, **upright},
    }  # fmt: skip


def has_swapped(record: Record) -> bool:
    """Tell whether the runs of a case swapped, by their median."""
    found = [spread(record, metric) for metric in ("swap_in_bytes", "swap_out_bytes")]
    return any(one is not None and one.median >= _SWAPPED_BYTES for one in found)


def _words(record: Record, found: Spread) -> str:
    swap = [spread(record, metric) for metric in ("swap_in_bytes", "swap_out_bytes")]
    lines = [f"<b>{label(record.case.policy)}</b> at {label(limit_of(record))}", _outcomes(record)]
    if found.max:
        span = f" ({format_duration(found.min)} to {format_duration(found.max)})"
        lines.insert(1, format_duration(found.median) + (span if found.min < found.max else ""))
    if all(swap):
        traffic = "/".join(format_size(round(one.median)) for one in swap if one is not None)
        lines.append(f"swap in/out {traffic}")
    return "<br>".join(lines)


def _outcomes(record: Record) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes(record).items())
