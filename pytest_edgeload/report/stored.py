"""Stored networks as tables: those in the cache with size and last use, and those in files with what they contain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_edgeload.base.units import format_size
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.usage import StoredFolder
from pytest_edgeload.report.grid import text_table

_AGES = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"))


def table(stored: Sequence[StoredFolder], root: Path, now_s: float) -> str:
    """Return the stored networks, the last used first, and their sum; `now_s` is in seconds since 1970."""
    if not stored:
        return f"no networks in {root}"
    rows = [
        (one.name, format_size(one.size_bytes), _percent(one.compressed_share), age(now_s - one.used_s))
        for one in reversed(stored)
    ]
    total = format_size(sum(one.size_bytes for one in stored))
    rows.append((f"{len(stored)} in {root}", total, "", ""))
    headers = ("network", "size", "compressed to", "last use")
    return text_table(headers, rows, texts={0})


def table_of_files(stored: Sequence[tuple[str, Network, float | None]]) -> str:
    """Return the networks in files: each with the name of the file, and the share that compressed weights have left."""
    rows = [
        (
            file,
            network.name,
            str(len(network.layers)),
            *_weights(network),
            _percent(share),
            str(len(network.samples)),
            str(network.samples[0].steps),
        )
        for file, network, share in stored
    ]
    headers = ("file", "network", "layers", "weights", "types", "compressed to", "samples", "steps")
    return text_table(headers, rows, texts={0, 1, 4})


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _weights(network: Network) -> tuple[str, str]:
    """Return the size of all weights, and their types."""
    types = {weight.dtype for layer in network.layers for weight in layer.weights}
    return format_size(network.distinct_bytes), ", ".join(sorted(types))


def age(seconds: float) -> str:
    """Return a duration in the past in one unit: `3 days ago`, `just now`."""
    for unit_s, unit in _AGES:
        if (count := int(seconds // unit_s)) > 0:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"
