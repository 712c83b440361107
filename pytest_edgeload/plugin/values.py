"""What the texts of options mean: one function a kind of value, which raises ValueError with the way out.

Every pytest start imports this file, so what a function needs it imports when there is something to parse.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_edgeload.base.text import as_path, followed

if TYPE_CHECKING:
    from pytest_edgeload.base.units import Limit
    from pytest_edgeload.results.threshold import Threshold

_MOST_SEED_DIGITS = 15

EXPORTS = ("bmf", "gab", "gab-bigger")
"""The formats, keys of `report.FORMATS`, that --edge-export writes for services."""

CAP_NAMES = ("auto", "cgroup2", "cgroup1", "systemd", "none")
"""`auto` and the keys of `sandbox.caps.CAPS`, which would cost every pytest start its import."""


def to_limits(text: str) -> tuple[Limit | None, ...]:
    """Return the limits of a comma list, None for `none`."""
    from pytest_edgeload.base.units import Limit

    return tuple(dict.fromkeys(None if item == "none" else Limit.parse(item) for item in to_names(text)))


def to_duration(text: str) -> float:
    """Return seconds."""
    from pytest_edgeload.base.units import parse_duration

    return parse_duration(text)


def to_rate(text: str) -> int | None:
    """Return bytes a second, None for `none`."""
    from pytest_edgeload.base.units import parse_rate

    return None if text == "none" else parse_rate(text)


def to_swap(text: str) -> str:
    """Return a kind of swap."""
    from pytest_edgeload.base.units import parse_swap

    return parse_swap(text)


def to_names(text: str) -> tuple[str, ...]:
    """Split a comma list; a name that stands there twice counts once."""
    names = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if not names:
        raise ValueError("an empty list; name at least one")
    return names


def to_devices(text: str) -> tuple[str | None, ...]:
    """Return the names of a comma list of devices, None for `none` and for the empty string."""
    return tuple(None if name == "none" else name for name in to_names(text)) if text else (None,)


def to_input(text: str) -> Path | None:
    """Return the path of a file that is there; None for the empty string."""
    path = as_path(text) if text else None
    if path is not None and not path.is_file():
        raise ValueError("no such file; name one of devices, as docs/devices.md describes it")
    return path


def to_count(text: str) -> int:
    """Return a whole number of at least 1."""
    from pytest_edgeload.base.units import parse_count

    return parse_count(text)


class Rounds(NamedTuple):
    """How many worker runs of each case there are at least, and at most."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"


def to_rounds(text: str) -> Rounds:
    """Return how many rounds `5` or `3-15` are."""
    least, dash, most = text.partition("-")
    try:
        rounds = Rounds(to_count(least.strip()), to_count(most.strip()) if dash else to_count(least.strip()))
    except ValueError:
        raise ValueError("not a number of rounds; try 5, or 3-15 with --edge-precision=5%") from None
    if rounds.least > rounds.most:
        raise ValueError(
            f"at least {rounds.least} is more than at most {rounds.most}; try {rounds.most}-{rounds.least}"
        )
    return rounds


def to_precision(text: str) -> float | None:
    """Return a share; None for the empty string."""
    from pytest_edgeload.base.units import parse_percent

    return parse_percent(text) if text else None


def to_thresholds(text: str) -> tuple[Threshold, ...]:
    """Return the thresholds of a comma list."""
    if not text:
        return ()
    from pytest_edgeload.results.threshold import parse_thresholds

    return parse_thresholds(text)


def to_baseline_name(text: str) -> str | None:
    """Return a name for a baseline; None for the empty string."""
    if not text:
        return None
    from pytest_edgeload.results.baseline import check_name

    return check_name(text)


def to_baseline(text: str) -> str:
    """Return what names a baseline, unless it looks like a test that was taken for one."""
    if not text:
        return text
    path = as_path(text)
    if path.suffix == ".json":
        return str(Path(text).expanduser())
    if os.path.lexists(path):
        raise ValueError("that is no baseline; did it mean to be a test? Write --edge-compare=newest, or put it last")
    return text


def to_seed(text: str) -> int | None:
    """Return a seed; None for the empty string."""
    if text and not (text.isascii() and text.isdigit() and len(text) <= _MOST_SEED_DIGITS):
        raise ValueError("not a seed; give a whole number from 0 on, of at most 15 digits")
    return int(text) if text else None


def to_cap(text: str) -> str:
    """Return the name of a cap."""
    if text not in CAP_NAMES:
        raise ValueError(f"not a cap; there are {', '.join(CAP_NAMES)}")
    return text


def to_output(text: str) -> Path | None:
    """Return the path of a file that may be written; None for the empty string."""
    if not text:
        return None
    given = as_path(text)
    path = followed(given)
    if path.is_dir():
        raise ValueError("a folder; name a file, as in results.json")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it first")
    if (given.exists() and not given.is_file()) or not os.access(path.parent, os.W_OK):
        raise ValueError("not a file that can be written here; name another")
    return path


def to_exports(text: str) -> tuple[tuple[str, Path], ...]:
    """Return the services and files of a comma list."""
    return tuple(map(_export, to_names(text))) if text else ()


def _export(text: str) -> tuple[str, Path]:
    service, colon, file = text.partition(":")
    if service not in EXPORTS or not colon:
        raise ValueError(f"not a service and its file; try {EXPORTS[0]}:out.json, there are {', '.join(EXPORTS)}")
    path = to_output(file)
    if path is None:
        raise ValueError(f"{text} names no file; try {text}out.json")
    return service, path


def to_columns(text: str) -> tuple[str, ...]:
    """Return the columns of a comma list."""
    if not text:
        return ()
    from pytest_edgeload.report.columns import parse_columns

    return parse_columns(text)


def to_sort(text: str) -> str:
    """Return what to sort by."""
    if not text:
        return ""
    from pytest_edgeload.report.columns import parse_sort

    return parse_sort(text)


def to_group_by(text: str) -> tuple[str, ...]:
    """Return what to group by."""
    if not text:
        return ()
    from pytest_edgeload.report.columns import parse_group_by

    return parse_group_by(text)


def to_name(text: str) -> str:
    """Return a kind of name."""
    if text not in {"short", "long"}:
        raise ValueError("not a kind of name; there are short, long")
    return text


def to_github(text: str) -> bool:
    """Return whether GitHub is told: `auto` says so where its runner runs us."""
    if text == "auto":
        return os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        return to_switch(text)
    except ValueError:
        raise ValueError("neither yes, no nor auto; did it mean to be a test? Write --edge-github=yes") from None


def to_folder(text: str) -> Path | None:
    """Return the path of a folder, or of none yet; None for the empty string."""
    path = as_path(text) if text else None
    if path is not None and path.exists() and not path.is_dir():
        raise ValueError("not a folder; name one, it is made where it does not exist")
    return path


def to_switch(text: str) -> bool:
    """Return whether a word says yes or no."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("neither true nor false")
    return words[text.lower()]
