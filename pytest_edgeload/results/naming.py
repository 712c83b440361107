"""The names of metrics and statistics: short names of built-in metrics, and valid names of a program's own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import zip_longest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import OWN_NAME
from pytest_edgeload.results.stream_stats import STREAM_METRICS, of_stream, split_name

STATISTICS = ("median", "mean", "min", "max")
"""The statistics of rounds, besides percentiles such as `p90` or `p99.9`."""

COLUMNS = frozenset({
    "policy", "host", "device", "workload", "limit", "reader", "store", "threads", "read_bw", "write_bw", "cpus",
    "cores", "unenforced", "loop", "arrivals", "seed", "conditions", "clock", "test", "cap", "swap", "view", "parallel",
    "ratio", "bound", "memory_bound", "step_bound", "interval", "swap_in_out", "rounds", "outcome", "name", "case",
    "limit_bytes", "round", "detail",
})  # fmt: skip
"""The names of all columns that are not metrics."""

_PERCENTILE = re.compile(r"p(?P<percent>\d{1,2}(?:\.\d+)?)")
_NEARLY = re.compile(r"p[\d.]+")
_MIN_COMPARED = 6  # characters: many words differ from a shorter name of a column in one letter


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
    """Return the built-in metrics with this name, with or without their unit; `response[camera]` is one of a stream."""
    base, stream = split_name(bare)
    if stream is None:
        return _with_name(base, METRICS)
    return [of_stream(metric, stream) for metric in _with_name(base, STREAM_METRICS)]


def _with_name(bare: str, metrics: Iterable[str]) -> list[str]:
    names = list(metrics)
    return [bare] if bare in names else [metric for metric in names if _bare(metric) == bare]


def similar(name: str) -> str | None:
    """Return the built-in metric or the column that `name` probably misspells; None if there is none.

    Apart from the unit, one letter after the first is wrong, missing or superfluous, or two letters are swapped.
    """
    columns = (column for column in COLUMNS if len(column) >= _MIN_COMPARED)
    known = (*map(short, METRICS), *sorted(columns))
    return next((other for other in known if _is_misspelled(_bare(name), _bare(other))), None)


def check_own_name(name: object) -> None:
    """Raise UsageError if a program's own metric cannot have this name."""
    if not isinstance(name, str) or not re.fullmatch(OWN_NAME, name):
        raise UsageError(f"metric {name!r}", "not a name", "use letters, digits and _, such as tokens_per_s")
    if not can_be_own(name):
        raise UsageError(f"metric {name}", _conflict(name), f"choose another, such as own_{name.replace('.', '_')}")


def _conflict(name: str) -> str:
    """Return the other meaning of a name that cannot be a program's own."""
    if named(name):
        return "this name is taken: every run has it"
    if name in COLUMNS:
        return "this name is taken: it is a column of every table"
    other = similar(name)
    return "this name is that of a statistic" if other is None else f"this name looks like a misspelling of {other}"


@lru_cache(maxsize=4096)
def can_be_own(name: str) -> bool:
    """Return whether a program's own metric can have this name, so that no text means two metrics."""
    is_taken = name in COLUMNS or bool(named(name)) or any(map(may_be_statistic, name.split(".")))
    return bool(re.fullmatch(OWN_NAME, name)) and not is_taken and similar(name) is None


def _bare(metric: str) -> str:
    base, stream = split_name(metric)
    bare = base.removesuffix("_per_s").removesuffix("_bytes").removesuffix("_s")
    return bare if stream is None else of_stream(bare, stream)


def _is_misspelled(name: str, known: str) -> bool:
    """Return whether one letter after the first is wrong, missing or superfluous, or two letters are swapped."""
    same = (a == b for a, b in zip_longest(name, known))
    begin = next((i for i, is_same in enumerate(same) if not is_same), 0)
    mine, other = name[begin:], known[begin:]
    swapped = mine[:2] == other[1::-1] and mine[2:] == other[2:]
    return begin > 0 and (mine[1:] == other[1:] or mine[1:] == other or mine == other[1:] or swapped)
