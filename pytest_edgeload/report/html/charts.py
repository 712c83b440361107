"""The charts of an experiment as plotly figures: plain data in which every name is escaped. Pure.

Reference: https://plotly.com/javascript/reference/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from pytest_edgeload.base.units import format_size
from pytest_edgeload.report.html.experiment import Experiment, limit_of
from pytest_edgeload.report.html.marks import GREY, Mark, amounts, label, seconds, spaced, spanning
from pytest_edgeload.report.winners import in_words
from pytest_edgeload.results.minmem import SWAPPED_BYTES
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import Spread, outcomes, runs_of, spread
from pytest_edgeload.results.threshold import Figure, is_size

Chart = dict[str, Any]

_MAX_POINTS = 400  # of one distribution; more would enlarge the file without a visible difference
_OFFSET = 0.008  # of the axis, between the points of two lines at the same limit
_TICK, _WORDS = 0.06, 0.15  # of the axis, for the label of a limit, and for words beside a cross
_ROW_PX = 34
_MIB = 1 << 20


def by_limit(experiment: Experiment, marks: Mapping[str, Mark]) -> Chart:
    """Return the figure of the experiment by limit with a line for each policy; bars if there is a single limit.

    The chart of a single record is empty, because one value is not a comparison.
    """
    limits = list(experiment.limits)
    if len(experiment.records) == 1:
        return {}
    return _bars(experiment, limits[0], marks) if len(limits) == 1 else _curves(experiment, marks)


def responses(experiment: Experiment, limit: str, marks: Mapping[str, Mark]) -> Chart:
    """Return the distribution of response times over all rounds of each policy.

    The chart is empty if no policy has more than one response time.
    """
    by_policy = response_times(experiment, limit)
    data = [_steps(policy, times, marks[policy]) for policy, times in by_policy.items()]
    layout = {
        "xaxis": spanning("response time", [time for times in by_policy.values() for time in times]),
        "yaxis": {"title": {"text": "requests answered"}, "range": [0, 103], "ticksuffix": " %"},
    }
    return {"data": data, "layout": layout} if any(len(times) > 1 for times in by_policy.values()) else {}


def response_times(experiment: Experiment, limit: str) -> dict[str, list[float]]:
    """Return the response times of all rounds of each policy that has any, the shortest first."""
    by_policy = {record.case.policy: sorted(_responses(record)) for record in experiment.at(limit)}
    return {policy: times for policy, times in by_policy.items() if times}


def _responses(record: Record) -> Iterator[float]:
    for run in runs_of(record, Figure("response_s", "p50")):  # a percentile's samples are single requests
        yield from run


def _steps(policy: str, times: Sequence[float], mark: Mark) -> Chart:
    """Return the distribution of sorted times as steps, thinned to equal shares if there are many."""
    count = len(times)
    kept = (
        [round(i * (count - 1) / (_MAX_POINTS - 1)) for i in range(_MAX_POINTS)]
        if count > _MAX_POINTS
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
    shifted = {
        policy: {limit: x * offset for limit, x in places.items()}
        for policy, offset in zip(policies, _offsets(list(places.values()), len(policies)), strict=True)
    }
    data = [_curve(experiment, policy, shifted[policy], marks[policy]) for policy in policies]
    values = [value for line in data for value in line["y"]]
    ticks = spaced(places.values(), _span(places), _TICK)
    axis = {
        "title": {"text": "memory limit"}, "type": "log", "tickvals": ticks,
        "ticktext": [label(limit) for limit, place in places.items() if place in ticks], "showgrid": True,
    }  # fmt: skip
    layout = {
        "xaxis": axis,
        "yaxis": _axis(experiment, [*values, *_bounds(experiment)]),
        "shapes": [_bound(at_s, "y") for at_s in _bounds(experiment)],
    }
    failed = _failed(experiment, places, values, marks)
    chart = {"data": [line for line in (*data, failed) if line["x"]], "layout": layout}
    if not any(map(has_swapped, experiment.records)):
        return chart
    return _above(chart, [_swap_curve(experiment, policy, shifted[policy], marks[policy]) for policy in policies])


def _above(chart: Chart, swapped: list[Chart]) -> Chart:
    """Return the chart with a panel of swapped bytes below it, on the same axis of limits."""
    layout = chart["layout"]
    panels = {
        "xaxis": {**layout["xaxis"], "anchor": "y2"}, "yaxis": {**layout["yaxis"], "domain": [0.34, 1]},
        "yaxis2": {"title": {"text": "MiB to swap"}, "domain": [0, 0.24], "rangemode": "tozero"}, "height": 480,
    }  # fmt: skip
    return {"data": [*chart["data"], *(line for line in swapped if line["x"])], "layout": {**layout, **panels}}


def _swap_curve(experiment: Experiment, policy: str, places: Mapping[str, float], mark: Mark) -> Chart:
    points = [
        (places[limit], values.median)
        for limit in places
        for record in experiment.at(limit)
        if record.case.policy == policy and (values := spread(record, "swap_out_bytes")) is not None
    ]
    return {
        "type": "scatter", "mode": "lines+markers", "name": label(policy), "showlegend": False, "yaxis": "y2",
        "x": [x for x, _ in points], "y": [round(size / _MIB, 1) for _, size in points],
        "line": {"color": mark.colour, "dash": mark.dash, "width": 2},
        "marker": {"size": 7, "symbol": mark.symbol, "color": mark.colour},
        "hovertemplate": f"{label(policy)}: %{{y:.4g}} MiB to swap<extra></extra>",
    }  # fmt: skip


def _places(experiment: Experiment) -> dict[str, float]:
    """Return the place of each limit on the axis: its bytes; twice the largest for no limit."""
    limits = experiment.limits
    largest = max((size for size in limits.values() if size is not None), default=1)
    return {limit: 2 * largest if size is None else size for limit, size in limits.items()}


def _span(places: Mapping[str, float]) -> tuple[float, float]:
    return min(places.values()), max(places.values())


def _offsets(places: Sequence[float], count: int) -> list[float]:
    """Return a factor for the places of each line, so that ranges at the same limit do not overlap."""
    step = (max(places) / min(places)) ** _OFFSET
    return [step ** (i - (count - 1) / 2) for i in range(count)]


def _curve(experiment: Experiment, policy: str, places: Mapping[str, float], mark: Mark) -> Chart:
    points = [
        (record, values)
        for limit in places
        for record in experiment.at(limit)
        if record.case.policy == policy and (values := experiment.spread(record)) is not None
    ]
    scale = _scale(experiment.figure)
    return {
        "type": "scatter", "mode": "lines+markers", "name": label(policy),
        "x": [places[limit_of(record)] for record, _ in points], "y": [values.median / scale for _, values in points],
        "error_y": _range((values for _, values in points), scale),
        "text": [_hover_text(experiment, record, values) for record, values in points], "hoverinfo": "text",
        "line": {"color": mark.colour, "dash": mark.dash, "width": 2},
        "marker": {"size": 10, "symbol": [mark.symbol + "-open" * has_swapped(record) for record, _ in points],
                   "color": mark.colour, "line": {"width": 2, "color": mark.colour}},
    }  # fmt: skip


def _range(spreads: Iterable[Spread], scale: float) -> Chart:
    spreads = list(spreads)
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": 5,
        "array": [(values.max - values.median) / scale for values in spreads],
        "arrayminus": [(values.median - values.min) / scale for values in spreads],
    }  # fmt: skip


def _failed(
    experiment: Experiment, places: Mapping[str, float], values: Sequence[float], marks: Mapping[str, Mark]
) -> Chart:
    """Return crosses above all values for records without a good run, stacked if there are several at a limit."""
    top = max((value for value in values if value > 0), default=1.0)
    crosses = [
        (record, top * 1.12 ** (height + 1))
        for limit in places
        for height, record in enumerate(r for r in experiment.at(limit) if experiment.spread(r) is None)
    ]
    x = [places[limit_of(record)] for record, _ in crosses]
    words = [f"{label(record.case.policy)} {_outcomes(record)}" for record, _ in crosses]
    labelled = spaced(x, _span(places), _WORDS)
    return {
        "type": "scatter", "mode": "markers+text", "name": "no good run",
        "x": x, "y": [height for _, height in crosses],
        "text": [text if place in labelled else "" for text, place in zip(words, x, strict=True)],
        "textposition": "middle right", "hovertext": words, "hoverinfo": "text",
        "marker": {"symbol": "x", "size": 9, "color": [marks[record.case.policy].colour for record, _ in crosses]},
    }  # fmt: skip


def _bars(experiment: Experiment, limit: str, marks: Mapping[str, Mark]) -> Chart:
    records, scale = experiment.at(limit), _scale(experiment.figure)
    pairs = [(record, experiment.spread(record)) for record in records]
    spreads = [values or Spread(0, 0, 0) for _, values in pairs]
    data = {
        "type": "bar", "orientation": "h", "showlegend": False,
        "y": [_bar_label(experiment, record, values) for record, values in pairs],
        "x": [values.median / scale for values in spreads],
        "error_x": {**_range(spreads, scale), "color": GREY},
        "hovertext": [_hover_text(experiment, record, values) for record, values in pairs], "hoverinfo": "text",
        "marker": {"color": [marks[record.case.policy].colour for record in records],
                   "pattern": {"shape": ["/" if has_swapped(record) else "" for record in records]}},
    }  # fmt: skip
    layout = {
        "xaxis": _axis(experiment, ()),
        "yaxis": {"autorange": "reversed", "type": "category"},
        "shapes": [_bound(at_s, "x") for at_s in _bounds(experiment)],
        "height": 120 + _ROW_PX * len(records),
    }
    return {"data": [data], "layout": layout}


def _axis(experiment: Experiment, values: Iterable[float]) -> dict[str, object]:
    """Return the axis for the figure of an experiment, with its unit."""
    figure = experiment.figure
    if figure.unit == "s":
        return seconds(label(in_words(figure)), values)
    unit = figure.unit.replace("bytes", "MiB") if is_size(figure.unit) else figure.unit_unless_implied
    return amounts(label(", ".join(filter(None, (in_words(figure), unit)))), values)


def _scale(figure: Figure) -> int:
    """Return the number that values are divided by: bytes are drawn in MiB."""
    return _MIB if is_size(figure.unit) else 1


def _bar_label(experiment: Experiment, record: Record, values: Spread | None) -> str:
    """Return the text to the left of a bar; inside or behind the bar its range would cover the text."""
    result = _outcomes(record) if values is None else label(experiment.figure.show(values.median))
    return f"{label(record.case.policy)}  <b>{result}</b> "


def _bounds(experiment: Experiment) -> list[float]:
    """Return the bound in a list, which is empty if it is unknown or the chart does not show makespans."""
    bounds = [spread(record, "bound_s") for record in experiment.records]
    return [bound.median for bound in bounds if bound is not None and experiment.figure == Figure("makespan_s")][:1]


def _bound(at_s: float, axis: str) -> Chart:
    other = "x" if axis == "y" else "y"
    upright = {"textangle": 0, "yanchor": "bottom"} if axis == "x" else {}
    return {
        "type": "line", "layer": "below", "line": {"color": GREY, "width": 1.5, "dash": "dot"},
        f"{axis}0": at_s, f"{axis}1": at_s, f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1,
        "label": {"text": "bound", "textposition": "end", "font": {"color": GREY}, **upright},
    }  # fmt: skip


def has_swapped(record: Record) -> bool:
    """Return whether the median run of a case swapped."""
    traffic = [spread(record, metric) for metric in ("swap_in_bytes", "swap_out_bytes")]
    return any(values is not None and values.median >= SWAPPED_BYTES for values in traffic)


def _hover_text(experiment: Experiment, record: Record, values: Spread | None) -> str:
    traffic = [spread(record, metric) for metric in ("swap_in_bytes", "swap_out_bytes")]
    lines = [f"<b>{label(record.case.policy)}</b> at {label(limit_of(record))}", _outcomes(record)]
    if values is not None:
        median, low, high = (label(experiment.figure.show(value)) for value in astuple(values))
        lines.insert(1, median + (f" ({low} to {high})" if values.min < values.max else ""))
    if all(traffic):
        sizes = "/".join(format_size(round(swapped.median)) for swapped in traffic if swapped is not None)
        lines.append(f"swap in/out {sizes}")
    return "<br>".join(lines)


def _outcomes(record: Record) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes(record).items())
