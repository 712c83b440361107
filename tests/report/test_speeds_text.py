"""The speeds of a machine as text: a table of readers, one of layers, single figures, and the reasons for doubt."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from pytest_edgeload.measuring.speeds.store import origin_now
from pytest_edgeload.planning.machine_speeds import LayerSize, LayerTime, MachineSpeeds, ReadSpeed
from pytest_edgeload.report import speeds as texts
from pytest_edgeload.results.stored_speeds import SCHEMA, StoredSpeeds

LINEAR, EMBEDDING = LayerSize("linear", 1, 2 * 10**9, 4000, 100), LayerSize("embedding", 1, 0, 4000, 100)
SPEEDS = MachineSpeeds(
    reads=(
        ReadSpeed("direct", 1 << 20, 1, 1 << 30),
        ReadSpeed("direct", 4 << 20, 1, 2 << 30),
        ReadSpeed("direct", 4 << 20, 2, 3 << 30),
        ReadSpeed("read", 1 << 20, 1, 5 << 30, is_cached=True),
    ),
    swap=None,
    layers=(LayerTime(LINEAR, 1, 0.3, 0.2), LayerTime(LINEAR, 2, 0.3, 0.1), LayerTime(EMBEDDING, 1, 0.3, 0.002)),
)


def lines(tmp_path: Path, faults: tuple[str, ...] = ()) -> list[list[str]]:
    """Return the words of each line, separated by two spaces or more."""
    stored = StoredSpeeds(SCHEMA, time.time(), origin_now(tmp_path), SPEEDS, ("swap was not measured: none",))
    text = texts.text(stored, faults, time.time())
    return [[word.strip() for word in line.split("  ") if word.strip()] for line in text.splitlines()]


def test_tables_show_readers_and_layers(tmp_path: Path) -> None:
    """A speed that was not measured is left out; a layer without operations has a time."""
    found = lines(tmp_path)
    assert ["reader", "1M", "4M", "4M, 2 lanes"] in found
    assert ["direct", "1G/s", "2G/s", "3G/s"] in found
    assert ["read, cached", "5G/s"] in found
    assert ["kind of layer", "measured", "1 thread", "2 threads"] in found
    assert ["linear", "1", "10.0 GFLOP/s", "20.0 GFLOP/s"] in found
    assert ["embedding", "1", "2ms each"] in found
    assert ["swap in", "not measured"] in found


def test_reasons_for_doubt_come_last(tmp_path: Path) -> None:
    """They are sentences below the tables."""
    assert lines(tmp_path, ("measured 31 days ago",))[-2:] == [
        ["swap was not measured: none"],
        ["stale: measured 31 days ago"],
    ]


def test_json_contains_everything(tmp_path: Path) -> None:
    """It is the stored file."""
    stored = StoredSpeeds(SCHEMA, 1.0, origin_now(tmp_path), SPEEDS)
    assert msgspec.json.decode(texts.json(stored), type=StoredSpeeds) == stored
