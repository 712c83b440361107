"""The measured speeds of a machine as text: readers, kinds of layers, and single figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pytest_edgeload.base.units import format_duration, format_size
from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.planning.machine_speeds import LayerTime, MachineSpeeds
from pytest_edgeload.report.grid import text_table
from pytest_edgeload.report.stored import age
from pytest_edgeload.results.stored_speeds import SpeedsOrigin, StoredSpeeds


def text(stored: StoredSpeeds, faults: Sequence[str], now_s: float) -> str:
    """Return the speeds as text; `faults` are the reasons why they may be wrong, and `now_s` is in Unix time."""
    parts = [
        f"{origin_words(stored.origin)}; measured {age(now_s - stored.measured_s)}",
        _reads(stored.speeds),
        _layers(stored.speeds.layers),
        _figures(stored.speeds),
        "\n".join((*stored.remarks, *(f"stale: {fault}" for fault in faults))),
    ]
    return "\n\n".join(part for part in parts if part)


def json(stored: StoredSpeeds) -> str:
    """Return the speeds as JSON, with everything that they hold for."""
    return msgspec.json.format(msgspec.json.encode(stored)).decode()


def origin_words(origin: SpeedsOrigin) -> str:
    """Return everything that speeds hold for on one line."""
    machine = origin.machine
    subject = f"device {origin.device} on " if origin.device else ""
    facts = [origin.facts[name] for name in ("disk", "torch", "threads")]
    held = [origin.facts["constraints"]] if origin.constraints.values else []
    return f"{subject}{machine.processors}x {machine.processor}, {format_size(machine.memory_bytes)}, " + ", ".join(
        [*facts, *held]
    )


def _reads(speeds: MachineSpeeds) -> str:
    """Return a table of the readers: rates by the size of a load, alone and with the most lanes."""
    sizes = sorted({row.size_bytes for row in speeds.reads})
    lanes = max((row.lanes for row in speeds.reads), default=1)
    rates = {(row.reader, row.is_cached, row.lanes, row.size_bytes): row.bytes_per_s for row in speeds.reads}
    readers = dict.fromkeys((row.reader, row.is_cached) for row in speeds.reads)
    counts = [1, lanes] if lanes > 1 else [1]
    columns = [(count, size) for count in counts for size in (sizes if count == 1 else sizes[-1:])]
    rows = [
        [f"{reader}, cached" if is_cached else reader]
        + [_rate(rates.get((reader, is_cached, count, size))) for count, size in columns]
        for reader, is_cached in readers
    ]
    heads = [format_size(size) + ("" if count == 1 else f", {count} lanes") for count, size in columns]
    return text_table(["reader", *heads], rows, [0])


def _layers(times: Iterable[LayerTime]) -> str:
    """Return a table of the kinds of layers: operations per second by number of threads."""
    groups: dict[str, dict[int, list[LayerTime]]] = {}
    for time in times:
        groups.setdefault(time.size.kind, {}).setdefault(time.threads, []).append(time)
    counts = sorted({threads for group in groups.values() for threads in group})
    rows = [
        [kind, str(max(map(len, group.values()))), *(_operations(group.get(threads, [])) for threads in counts)]
        for kind, group in sorted(groups.items())
    ]
    heads = [f"{threads} {'thread' if threads == 1 else 'threads'}" for threads in counts]
    return text_table(["kind of layer", "measured", *heads], rows, [0]) if rows else ""


def _operations(times: Sequence[LayerTime]) -> str:
    seconds, flops = sum(time.later_s for time in times), sum(time.size.flops for time in times)
    if not times or not seconds:
        return ""
    return f"{flops / seconds / 1e9:.1f} GFLOP/s" if flops else f"{format_duration(seconds / len(times))} each"


def _figures(speeds: MachineSpeeds) -> str:
    """Return the single figures, one per line."""
    worker, factors, swap = speeds.worker, speeds.contention, speeds.swap
    figures: Mapping[str, str] = {
        "writes": _rate(speeds.write_bytes_per_s),
        "swap out": "not measured" if swap is None else _rate(swap.out_bytes_per_s),
        "swap in": "not measured" if swap is None else _rate(swap.in_bytes_per_s),
        "first write to memory": _rate(PAGE / speeds.fresh_s_per_page if speeds.fresh_s_per_page else None),
        "reading during computing": f"{factors.reading_beside_computing:.2f} times as long",
        "computing during reading": f"{factors.computing_beside_reading:.2f} times as long",
        "reading into the arena during computing": f"{factors.arena_reading_beside_computing:.2f} times as long",
        "computing during such reading": f"{factors.computing_beside_arena_reading:.2f} times as long",
        "two layers at once": f"{factors.computing_beside_computing:.2f} times as long",
        "start of a worker": format_duration(worker.start_s),
        "between two tasks": format_duration(worker.task_s),
        "begin of a request": format_duration(worker.request_s),
        "memory of an idle worker": format_size(worker.idle_bytes),
    }
    names, values = (max(map(len, column)) for column in zip(*figures.items(), strict=True))
    return "\n".join(f"{name:<{names}}  {value:>{values}}".rstrip() for name, value in figures.items())


def _rate(bytes_per_s: float | None) -> str:
    return "" if bytes_per_s is None else f"{format_size(bytes_per_s)}/s"
