"""The names of metrics and statistics: short names of built-in metrics, and valid names of a program's own. Pure."""

from __future__ import annotations

import math
import re
import reprlib
from functools import cache, lru_cache
from itertools import zip_longest
from typing import cast, get_args

from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import MAX_UNIT_CHARACTERS, OWN_NAME, Better, OwnMetric, implied

STATISTICS = ("median", "mean", "min", "max")
"""The statistics of rounds, besides percentiles such as `p90` or `p99.9`."""

COLUMNS = frozenset({
    "policy", "device", "workload", "limit", "reader", "threads", "read_bw", "write_bw", "cpus", "cores", "unenforced",
    "loop", "arrivals", "seed", "conditions", "clock", "test", "cap", "swap", "view", "ratio", "bound", "interval",
    "swap_in_out", "rounds", "outcome", "name", "case", "limit_bytes", "round", "detail",
})  # fmt: skip
"""The names of all columns that are not metrics."""

_PERCENTILE = re.compile(r"p(?P<percent>\d{1,2}(?:\.\d+)?)")
_NEARLY = re.compile(r"p[\d.]+")
_MAX_NUMBER = 1e100
_MIN_COMPARED = 5  # characters: many words differ from a shorter name of a column in one letter
_BY_NAME = {"_s": "s", "_bytes": "bytes"}


def percent_of(stat: str) -> float | None:
    """Return the percentage of a percentile, 90 for `p90`; None for other statistics."""
    match = _PERCENTILE.fullmatch(stat)
    return float(match["percent"]) if match and float(match["percent"]) > 0 else None


def is_statistic(text: str) -> bool:
    """Return whether `text` names a statistic of rounds."""
    return text in STATISTICS or percent_of(text) is not None


def may_be_statistic(text: str) -> bool:
    """Return whether `text` is a statistic or was probably meant as one: `medain`, `p100`."""
    return is_statistic(text) or bool(_NEARLY.fullmatch(text)) or any(_is_misspelled(text, stat) for stat in STATISTICS)


@cache
def short(metric: str) -> str:
    """Return the name of a built-in metric without its unit if that is still unique: `peak` for `peak_bytes`.

    The name of a program's own metric is never shortened.
    """
    name = _bare(metric)
    return name if named(name) == [metric] else metric


def named(bare: str) -> list[str]:
    """Return the built-in metrics with this name, with or without their unit."""
    return [bare] if bare in METRICS else [metric for metric in METRICS if _bare(metric) == bare]


def similar(name: str) -> str | None:
    """Return the built-in metric or the column that `name` probably misspells; None if there is none.

    Apart from the unit, one letter after the first is wrong, missing or superfluous, or two letters are swapped.
    """
    columns = (column for column in COLUMNS if len(column) >= _MIN_COMPARED)
    known = (*map(short, METRICS), *sorted(columns))
    return next((other for other in known if _is_misspelled(_bare(name), _bare(other))), None)


def own_metric(name: str, value: object, unit: str | None = None, better: str | None = None) -> OwnMetric:
    """Return a metric that a program reports as `name`; without a unit or a direction, it has those of its name.

    Raises ValueError, with a sentence that names the metric, if the name cannot be its own, if the value is neither a
    number nor a series of numbers, or if the unit or the direction is invalid or contradicts the name.
    """
    check_own_name(name)
    by_name = implied(name)
    unit = by_name.unit if unit is None else unit
    ending = next((ending for ending in _BY_NAME if name.endswith(ending) and not name.endswith("_per_s")), None)
    if ending is not None and unit != _BY_NAME[ending]:
        raise ValueError(f"{name} is in {_BY_NAME[ending]} by its name, not in {unit}; choose another name")
    if not unit.isprintable() or len(unit) > MAX_UNIT_CHARACTERS:
        raise ValueError(f"{name}: its unit is not a short text; try s, bytes or 1/s")
    return OwnMetric(_value(name, value), unit, by_name.better if better is None else _direction(name, better))


def check_own_name(name: str) -> None:
    """Raise ValueError if a program's own metric cannot have this name."""
    if can_be_own(name):
        return
    if not re.fullmatch(OWN_NAME, name):
        raise ValueError(f"{reprlib.repr(name)} cannot name a metric; use letters, digits and '_', as in tokens_per_s")
    if name in COLUMNS or named(name):
        reason = f"{name} is a name of edgeload's own"
    else:
        other = similar(name)
        reason = f"{name} names a statistic" if other is None else f"{name} looks like a misspelling of {other}"
    raise ValueError(f"{reason}; choose another, such as own_{name.replace('.', '_')}")


@lru_cache(maxsize=4096)
def can_be_own(name: str) -> bool:
    """Return whether a program's own metric can have this name, so that no text means two metrics."""
    is_taken = name in COLUMNS or bool(named(name)) or any(map(may_be_statistic, name.split(".")))
    return bool(re.fullmatch(OWN_NAME, name)) and not is_taken and similar(name) is None


def _direction(name: str, better: str) -> Better:
    for known in get_args(Better):
        if better == known:
            return cast("Better", known)
    raise ValueError(f"{name}: {better!r} is not a direction; choose from {', '.join(get_args(Better))}")


def _value(name: str, value: object) -> float | tuple[float, ...]:
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError(f"{name} is a series without a number")
        return tuple(_number(name, item) for item in value)
    return _number(name, value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        fault = "not a number"
    elif not math.isfinite(value):
        fault = "not a finite number"
    elif abs(value) > _MAX_NUMBER:
        fault = "not a number between -1e100 and 1e100"
    else:
        return value
    raise ValueError(f"{name} is {reprlib.repr(value)}, which is {fault}")


def _bare(metric: str) -> str:
    return metric.removesuffix("_per_s").removesuffix("_bytes").removesuffix("_s")


def _is_misspelled(name: str, known: str) -> bool:
    """Return whether one letter after the first is wrong, missing or superfluous, or two letters are swapped."""
    same = (a == b for a, b in zip_longest(name, known))
    begin = next((i for i, is_same in enumerate(same) if not is_same), 0)
    mine, other = name[begin:], known[begin:]
    swapped = mine[:2] == other[1::-1] and mine[2:] == other[2:]
    return begin > 0 and (mine[1:] == other[1:] or mine[1:] == other or mine == other[1:] or swapped)
