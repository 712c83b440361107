"""The thresholds of tests, in markers and in pyproject.toml: read at collection, and sent with each report."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.threshold import Ceiling

MARKER = "edge_threshold"
PROPERTY = "edgeload-thresholds"
"""The user property that carries a test's thresholds to its reports, as one JSON object."""

_TABLE = "tool.edgeload.thresholds"


def table(config: pytest.Config) -> dict[str, Any]:
    """Return `[tool.edgeload.thresholds]` of the project's pyproject.toml. Raises UsageError."""
    path = config.rootpath / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        value: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(str(path), str(error)) from error
    for key in _TABLE.split("."):
        value = value.get(key, {}) if isinstance(value, dict) else value
    if not isinstance(value, dict):
        raise UsageError(f"{_TABLE} in {path}", "not a table", "write makespan = '0.5x bulk' below it")
    return value


def of_item(item: pytest.Item, common: Mapping[str, Any]) -> dict[str, str]:
    """Return the thresholds of a test, by metric. `common` is the table of the project. Raises UsageError.

    The most specific threshold counts: a marker before the table, the nearest of several markers, and the longest of
    several patterns.
    """
    texts: dict[str, str] = {}
    for source, values in _sources(item, common):
        for name, value in values.items():
            subject = f"{source}: {name}={value!r}"
            if not isinstance(value, str):
                raise UsageError(subject, "not a text", "write a text with a unit, such as peak='600M'")
            try:
                Ceiling.parse(name, value)
            except ValueError as error:
                raise UsageError(subject, str(error)) from error
            texts[name] = value
    return texts


def _sources(item: pytest.Item, common: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each source of thresholds with its values, the least specific first. Raises UsageError."""
    yield _TABLE, {name: value for name, value in common.items() if not isinstance(value, dict)}
    patterns = [name for name, value in common.items() if isinstance(value, dict) and fnmatchcase(item.nodeid, name)]
    for pattern in sorted(patterns, key=len):
        yield f'{_TABLE}."{pattern}"', common[pattern]
    for mark in reversed(list(item.iter_markers(MARKER))):
        source = f"{item.nodeid}: {MARKER}"
        if mark.args:
            raise UsageError(source, "a threshold without a metric", f"write {MARKER}(peak='600M')")
        yield source, mark.kwargs


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
