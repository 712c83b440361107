"""Values of the command line, parsed once; argparse says which option is at fault."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from pytest_edgeload.base.text import as_path, followed
from pytest_edgeload.base.units import Limit, parse_count, parse_duration, parse_size, parse_swap
from pytest_edgeload.results.threshold import Figure, Threshold, parse_figure, parse_thresholds

CACHE_VARIABLE = "PYTEST_EDGE_CACHE_DIR"

_T = TypeVar("_T")


def refusing(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return `parse` as argparse wants it: what is wrong comes with the value."""

    def parsed(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error}") from error

    return parsed


def _limit(text: str) -> Limit | None:
    return None if text == "none" else Limit.parse(text)


def _folder(text: str) -> Path:
    path = as_path(text)
    if path.exists() and not path.is_dir():
        raise ValueError("not a folder; name one, it is made where it does not exist")
    return path


def _output(text: str) -> Path:
    given = as_path(text)
    path = followed(given)
    if path.is_dir():
        raise ValueError("a folder; name a file in it")
    if given.exists() and not given.is_file():
        raise ValueError("not a file; name one, or leave it out for standard output")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it first")
    return path


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if not names:
        raise ValueError("an empty list; name at least one")
    return names


limit = refusing(_limit)
count = refusing(parse_count)
folder = refusing(_folder)
output = refusing(_output)
names = refusing(_names)
duration = refusing(parse_duration)
size = refusing(parse_size)
swap = refusing(parse_swap)
figure: Callable[[str], Figure] = refusing(parse_figure)
thresholds: Callable[[str], tuple[Threshold, ...]] = refusing(parse_thresholds)


def cache() -> Path:
    """Return the cache folder that pytest uses, so that nothing is made twice."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser().absolute() if given else user_cache_path("edgeload")


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Declare where baselines are."""
    parser.add_argument(
        "--storage", type=folder, default=Path(".edgeload"), metavar="DIR",
        help="where baselines are kept (default: %(default)s)",
    )  # fmt: skip


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Declare where networks are."""
    parser.add_argument(
        "--cache-dir", type=folder, metavar="DIR",
        help=f"where networks are kept (default: {CACHE_VARIABLE}, or the user's cache folder)",
    )  # fmt: skip


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Declare what is asked."""
    parser.add_argument(
        "networks", metavar="NETWORKS", help="registered networks as a comma list, or a workload file (.yaml, .json)"
    )
    images = "about how many images each network is asked (default: 1)"
    parser.add_argument("--images", type=count, metavar="N", help=images)
