"""The parsers of options: one function for each kind of value. Raises ValueError with the reason and a hint.

A relative path starts at `folder`. Every pytest start imports this file, so a function imports what it needs only when
there is text to parse.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, ParamSpec, TypeVar

from pytest_edgeload.base.text import as_path, comma_list, follow_links

if TYPE_CHECKING:
    from pytest_edgeload.base.units import Limit
    from pytest_edgeload.networks.compressed import StoreForm
    from pytest_edgeload.results.case import Visible
    from pytest_edgeload.results.threshold import Threshold

_T = TypeVar("_T")
_P = ParamSpec("_P")

_MAX_SEED_DIGITS = 15

EXPORTS = ("bmf", "gab", "gab-bigger")
"""The formats of --edge-export, keys of `report.FORMATS`."""

CAP_NAMES = ("auto", "cgroup2", "cgroup1", "systemd", "none")
"""`auto` and the keys of `sandbox.caps.CAPS`. They are repeated because every pytest start would import that module."""

STORES: tuple[StoreForm, ...] = ("plain", "compressed")
"""The values of `networks.compressed.StoreForm`, for the same reason."""

VIEWS: tuple[Visible, ...] = ("host", "limit")
"""The values of `results.case.Visible`, for the same reason."""


def or_none(parse: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """Return a parser that returns None for the empty string."""
    return lambda *args, **kwargs: parse(*args, **kwargs) if args[0] else None


def or_empty(parse: Callable[_P, tuple[_T, ...]]) -> Callable[_P, tuple[_T, ...]]:
    """Return a parser that returns an empty tuple for the empty string."""
    return lambda *args, **kwargs: parse(*args, **kwargs) if args[0] else ()


def to_stores(text: str) -> tuple[StoreForm, ...]:
    """Return the forms of weights in a comma list, without duplicates."""
    return tuple(_one_of(STORES, name, "form of weights") for name in comma_list(text))


def to_limits(text: str) -> tuple[Limit | None, ...]:
    """Return the limits of a comma list, without duplicates; None for `none`."""
    from pytest_edgeload.base.units import parse_limits

    return parse_limits(text)


def to_devices(text: str) -> tuple[str | None, ...]:
    """Return the names of a comma list of devices; None for `none` and for the empty string."""
    return tuple(None if name == "none" else name for name in comma_list(text)) if text else (None,)


def to_count(text: str) -> int:
    """Return a whole number of at least 1."""
    from pytest_edgeload.base.units import parse_count

    return parse_count(text)


def to_duration(text: str) -> float:
    """Return a duration in seconds."""
    from pytest_edgeload.base.units import parse_duration

    return parse_duration(text)


def to_rate(text: str) -> int | None:
    """Return a rate in bytes per second; None for `none`."""
    from pytest_edgeload.base.units import parse_rate

    return None if text == "none" else parse_rate(text)


def to_swap(text: str) -> str:
    """Return a kind of swap."""
    from pytest_edgeload.base.units import parse_swap

    return parse_swap(text)


def to_precision(text: str) -> float:
    """Return a percentage as a share."""
    from pytest_edgeload.base.units import parse_percent

    return parse_percent(text)


class Rounds(NamedTuple):
    """The minimum and maximum number of runs of each case."""

    min: int
    max: int

    def __str__(self) -> str:
        return str(self.min) if self.min == self.max else f"{self.min}-{self.max}"


def to_rounds(text: str) -> Rounds:
    """Return the number of rounds, given as `5` or `3-15`."""
    low, dash, high = text.partition("-")
    try:
        rounds = Rounds(to_count(low.strip()), to_count((high if dash else low).strip()))
    except ValueError:
        raise ValueError("not a number of rounds; try 5, or 3-15 with --edge-precision=5%") from None
    if rounds.min > rounds.max:
        raise ValueError(f"the minimum {rounds.min} is above the maximum {rounds.max}; try {rounds.max}-{rounds.min}")
    return rounds


def to_seed(text: str) -> int:
    """Return a seed."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_SEED_DIGITS):
        raise ValueError(f"not a seed; give a whole number from 0 on, with at most {_MAX_SEED_DIGITS} digits")
    return int(text)


def to_cap(text: str) -> str:
    """Return the name of a cap, or `auto`."""
    return _one_of(CAP_NAMES, text, "cap")


def to_visible(text: str) -> Visible:
    """Return the memory that programs see."""
    return _one_of(VIEWS, text, "view")


def to_name(text: str) -> Literal["short", "long"]:
    """Return a kind of row names."""
    return _one_of(("short", "long"), text, "kind of name")


def _one_of(known: tuple[_T, ...], text: Any, kind: str) -> _T:
    if text not in known:
        raise ValueError(f"not a {kind}; choose from {', '.join(map(str, known))}")
    word: _T = text
    return word


def to_switch(text: str) -> bool:
    """Return a yes or no."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("not a switch; choose from true, false")
    return words[text.lower()]


def to_github(text: str) -> bool:
    """Return whether to write for GitHub. `auto` means yes if a runner of GitHub Actions runs this process."""
    if text == "auto":
        return os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        return to_switch(text)
    except ValueError:
        raise ValueError("not yes, no or auto; if it is a test path, write --edge-github=yes before it") from None


class Parallel(NamedTuple):
    """Whether runs may overlap, and whether they are then compared with runs that took turns."""

    overlaps: bool
    is_comparable: bool = False


def to_parallel(text: str) -> Parallel:
    """Return whether runs may overlap."""
    if text == "comparable":
        return Parallel(overlaps=True, is_comparable=True)
    try:
        return Parallel(to_switch(text))
    except ValueError:
        hint = "if it is a test path, write --edge-parallel=yes before it"
        raise ValueError(f"not yes, no or comparable; {hint}") from None


def to_thresholds(text: str) -> tuple[Threshold, ...]:
    """Return the thresholds of a comma list."""
    from pytest_edgeload.results.threshold import parse_thresholds

    return parse_thresholds(text)


def to_baseline_name(text: str) -> str:
    """Return a name for a baseline."""
    from pytest_edgeload.results.baseline import check_name

    return check_name(text)


def to_baseline(text: str, folder: Path) -> str:
    """Return a reference to a baseline. Rejects an existing path, which is probably a test."""
    if not text:
        return text
    path = as_path(text, folder)
    if path.suffix == ".json":
        return str(path)
    if os.path.lexists(path):
        raise ValueError("not a baseline; if it is a test path, write --edge-compare=newest before it")
    return text


def to_input(text: str, folder: Path) -> Path:
    """Return the path of an existing file."""
    path = as_path(text, folder)
    if not path.is_file():
        raise ValueError("no such file; name a file of devices as described in docs/devices.md")
    return path


class HostsFile(NamedTuple):
    """A file of hosts, and the names and tags of those that are wanted; all without any."""

    path: Path
    chosen: tuple[str, ...] = ()


def to_hosts(text: str, folder: Path) -> HostsFile:
    """Return the file of hosts and the chosen ones in `FILE[:NAMES]`."""
    file, colon, names = text.partition(":")
    return HostsFile(as_path(file, folder), comma_list(names) if colon else ())


def to_output(text: str, folder: Path) -> Path:
    """Return the path of a file that can be written."""
    given = as_path(text, folder)
    path = follow_links(given)
    if path.is_dir():
        raise ValueError("a folder; name a file, such as results.json")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; create it first")
    if (given.exists() and not given.is_file()) or not os.access(path.parent, os.W_OK):
        raise ValueError("not a file that can be written here; name another one")
    return path


def to_folder(text: str, folder: Path) -> Path:
    """Return the path of a folder that exists or can be created."""
    path = as_path(text, folder)
    if path.exists() and not path.is_dir():
        raise ValueError("not a folder; name a folder, which is created if it does not exist")
    return path


def to_exports(text: str, folder: Path) -> tuple[tuple[str, Path], ...]:
    """Return the services and files of a comma list."""
    return tuple(_export(item, folder) for item in comma_list(text))


def _export(text: str, folder: Path) -> tuple[str, Path]:
    service, colon, file = text.partition(":")
    if service not in EXPORTS or not colon:
        raise ValueError(f"not SERVICE:FILE; try {EXPORTS[0]}:out.json, the services are {', '.join(EXPORTS)}")
    if not file:
        raise ValueError(f"{text} names no file; try {text}out.json")
    return service, to_output(file, folder)


def to_columns(text: str) -> tuple[str, ...]:
    """Return the columns of a comma list."""
    from pytest_edgeload.report.columns import parse_columns

    return parse_columns(text)


def to_sort(text: str) -> str:
    """Return the column to sort by; the empty string for the default order."""
    if not text:
        return ""
    from pytest_edgeload.report.columns import parse_sort

    return parse_sort(text)


def to_group_by(text: str) -> tuple[str, ...]:
    """Return the keys of a comma list to group by."""
    from pytest_edgeload.report.columns import parse_group_by

    return parse_group_by(text)
