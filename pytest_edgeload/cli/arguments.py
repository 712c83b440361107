"""Types of argparse for the values of the command line, and arguments that several subcommands have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from pytest_edgeload.base.errors import suggestion
from pytest_edgeload.base.text import as_path, comma_list, follow_links
from pytest_edgeload.base.units import parse_count, parse_duration, parse_limit, parse_limits, parse_size, parse_swap
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.columns import parse_columns, parse_group_by, parse_sort
from pytest_edgeload.results.baseline import check_name
from pytest_edgeload.results.threshold import Figure, Threshold, parse_figure, parse_thresholds

CACHE_VARIABLE = "PYTEST_EDGE_CACHE_DIR"

_STORAGE = ".edgeload"

_T = TypeVar("_T")


def refusing(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return `parse` with errors as argparse prints them, which contain the value."""

    def parse_or_refuse(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error}") from error

    return parse_or_refuse


def _whole(text: str) -> int:
    return 0 if text == "0" else parse_count(text)


def _folder(text: str) -> Path:
    path = as_path(text)
    if path.exists() and not path.is_dir():
        raise ValueError("not a folder; name a folder, which need not exist yet")
    return path


def _output(text: str) -> Path:
    named = as_path(text)
    path = follow_links(named)
    if path.is_dir():
        raise ValueError("a folder; name a file in it")
    if named.exists() and not named.is_file():
        raise ValueError("not a regular file; name another file, or leave it out for standard output")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; create it first")
    return path


def _export(text: str) -> tuple[str, Path]:
    kind, equals, path = text.partition("=")
    if not equals or not path:
        raise ValueError(f"not FORMAT=FILE; try json=results.json, the formats are {', '.join(FORMATS)}")
    if kind not in FORMATS:
        raise ValueError(f"{kind} is not a format; {suggestion(kind, FORMATS)}")
    return kind, _output(path)


limit = refusing(parse_limit)
count = refusing(parse_count)
whole = refusing(_whole)
folder = refusing(_folder)
output = refusing(_output)
limits = refusing(parse_limits)
export = refusing(_export)
baseline_name = refusing(check_name)
names = refusing(comma_list)
duration = refusing(parse_duration)
size = refusing(parse_size)
size_or_zero = refusing(lambda text: 0 if text == "0" else parse_size(text))
swap = refusing(parse_swap)
figure: Callable[[str], Figure] = refusing(parse_figure)
thresholds: Callable[[str], tuple[Threshold, ...]] = refusing(parse_thresholds)


def cache() -> Path:
    """Return the cache folder of pytest sessions, so that both share the stored networks."""
    path = os.environ.get(CACHE_VARIABLE)
    return Path(path).expanduser().absolute() if path else user_cache_path("edgeload")


def storage() -> Path:
    """Return the folder of baselines: the nearest `.edgeload` of the current folder and those above it."""
    here = Path.cwd()
    return next((path for folder in (here, *here.parents) if (path := folder / _STORAGE).is_dir()), here / _STORAGE)


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of baselines."""
    parser.add_argument(
        "--storage", type=folder, default=storage(), metavar="DIR",
        help=f"folder of baselines (default: {_STORAGE} of this folder, or of the nearest above that has one)",
    )  # fmt: skip


def add_layout(parser: argparse.ArgumentParser) -> None:
    """Add the options for the layout of tables."""
    add = parser.add_argument
    columns = "columns to show, comma-separated: makespan, peak.max"
    add("--columns", type=refusing(parse_columns), default=(), metavar="NAMES", help=columns)
    sort = "column to sort by, or name"
    add("--sort", type=refusing(parse_sort), default="", metavar="NAME", help=sort)
    group_by = "keys of a case that the rows of one table share: workload,limit"
    add("--group-by", type=refusing(parse_group_by), default=(), metavar="NAMES", help=group_by)


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of stored networks."""
    parser.add_argument(
        "--cache-dir", type=folder, metavar="DIR",
        help=f"folder of stored networks (default: {CACHE_VARIABLE}, or the user's cache folder)",
    )  # fmt: skip


def add_workload(parser: argparse.ArgumentParser, *, is_optional: bool = False) -> None:
    """Add the arguments for the workload. If it is optional, `networks` is a list of words."""
    networks = "registered networks, comma-separated, or a workload file (.yaml, .json)"
    parser.add_argument("networks", metavar="NETWORKS", nargs="*" if is_optional else None, help=networks)
    images = "number of requests for each of the networks, one per image (default: 1)"
    parser.add_argument("--images", type=count, metavar="N", help=images)
