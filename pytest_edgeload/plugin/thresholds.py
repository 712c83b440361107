"""Thresholds that stand in tests and in pyproject.toml: read at collection, sent with each report."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.threshold import Ceiling

MARKER = "edge_threshold"
PROPERTY = "edgeload-thresholds"
"""The user property that carries a test's thresholds, as one JSON object, to its reports."""

_TABLE = "tool.edgeload.thresholds"


def table(config: pytest.Config) -> dict[str, Any]:
    """Return `[tool.edgeload.thresholds]` of the project's pyproject.toml. Raises UsageError."""
    path = config.rootpath / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}") from error
    found: Any = document
    for key in _TABLE.split("."):
        found = found.get(key, {}) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise UsageError(f"{_TABLE} in {path}: not a table; write makespan = '0.5x bulk' below it")
    return found


def of_item(item: pytest.Item, common: Mapping[str, Any]) -> dict[str, str]:
    """Return the thresholds of a test by figure: the table's, then those for tests like it, then its markers'.

    The most specific wins: of several patterns the longest, of several markers the nearest. Raises UsageError.
    """
    where: list[tuple[str, Mapping[str, Any]]] = [
        (_TABLE, {n: v for n, v in common.items() if not isinstance(v, dict)})
    ]
    patterns = [name for name, value in common.items() if isinstance(value, dict) and fnmatchcase(item.nodeid, name)]
    where += [(f'{_TABLE}."{pattern}"', common[pattern]) for pattern in sorted(patterns, key=len)]
    for mark in reversed(list(item.iter_markers(MARKER))):
        if mark.args:
            raise UsageError(f"{item.nodeid}: {MARKER} takes figures by name, as in {MARKER}(peak='600M')")
        where.append((f"{item.nodeid}: {MARKER}", mark.kwargs))
    found: dict[str, str] = {}
    for place, given in where:
        for name, value in given.items():
            if not isinstance(value, str):
                raise UsageError(f"{place}: {name}={value!r} is no text; write {name}='{value}'")
            try:
                Ceiling.parse(name, value)
            except ValueError as error:
                raise UsageError(f"{place}: {name}={value!r}: {error}") from error
            found[name] = value
    return found


def pack(thresholds: Mapping[str, str]) -> str:
    """Return thresholds as one JSON object."""
    return json.dumps(dict(thresholds))


def ceilings_of(properties: Iterable[tuple[str, object]]) -> tuple[Ceiling, ...]:
    """Return the ceilings that came with a report."""
    packed = next((str(value) for name, value in properties if name == PROPERTY), "{}")
    try:
        return tuple(Ceiling.parse(name, value) for name, value in decoding.decode(packed, dict[str, str]).items())
    except ValueError:  # a test has recorded a property of that name itself
        return ()
