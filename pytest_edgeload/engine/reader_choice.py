"""The choice of the reader `auto`: the best one for a plan, its memory and the file system. Pure, but for one read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.compressed import COMPRESSED, StoreForm
from pytest_edgeload.networks.tile import Tile
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.plan import Plan, Span
from pytest_edgeload.planning.reader_names import DIRECT, MAPPING, THROUGH_CACHE
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.planning.span_log import KEPT_STEPS
from pytest_edgeload.workload import Workload

WORTHWHILE_SHARE = 0.25
"""The share of bytes that the page cache must serve to be worth its cost: all other bytes are copied once more."""

_WeightsKey = tuple[int, int | None, Tile]  # the network's id, the layer, and its tile


def check_reader(store: StoreForm, reader: str) -> None:
    """Raise UsageError if weights that are stored so cannot be read by this reader."""
    if store == COMPRESSED and reader == MAPPING:
        raise UsageError(f"reader {MAPPING}", "compressed weights cannot be mapped", "choose read or direct")


def accept_direct(files: Iterable[Path]) -> bool:
    """Return whether the file systems of all `files` let the reader `direct` read past the page cache."""
    for file in files:
        reader = READERS[DIRECT](file)
        reader.close()
        if reader.notice is not None:
            return False
    return True


def best_reader(plan: Plan, workload: Workload, memory_bytes: int | None) -> str:
    """Return `read` if the page cache serves a good share of the bytes that the plan loads, otherwise `direct`.

    `memory_bytes` is the budget, None without a limit. A plan with places for its weights has chosen itself what stays
    in memory.
    """
    if plan.arena_bytes or cached_share(plan, workload, memory_bytes) < WORTHWHILE_SHARE:
        return DIRECT
    return THROUGH_CACHE


def cached_share(plan: Plan, workload: Workload, memory_bytes: int | None) -> float:
    """Return the share of all loaded bytes that the page cache still has from an earlier load of the same weights.

    The plan runs at nominal speeds. The cache has the memory that weights and activations leave at the moment, and
    loses the bytes first that were read the longest time ago: weights read in a circle that is larger than the cache
    are never found. The last kept step of a loop counts for all later steps.
    """
    cached: OrderedDict[_WeightsKey, int] = OrderedDict()
    cached_bytes = found_bytes = loaded_bytes = 0
    for key, size_bytes, times, held_bytes in _uses(plan, workload):
        if size_bytes:
            loaded_bytes += times * size_bytes
            found_bytes += times * size_bytes if key in cached else 0
            cached_bytes += size_bytes - cached.pop(key, 0)
            cached[key] = size_bytes
        while memory_bytes is not None and cached and cached_bytes > memory_bytes - held_bytes:
            cached_bytes -= cached.popitem(last=False)[1]
    return found_bytes / loaded_bytes if loaded_bytes else 0.0


def _uses(plan: Plan, workload: Workload) -> Iterator[tuple[_WeightsKey, int, int, int]]:
    """Yield the begin of each task in order of time: its weights, the bytes that it loads, how often, all bytes held.

    Only loads load bytes. Each step that is kept stands for itself, and the last one for all later steps as well.
    """
    requests = tuple(replace(request, steps=min(request.steps, KEPT_STEPS)) for request in workload.requests)
    simulation = simulate(plan.shortened(KEPT_STEPS), replace(workload, requests=requests))
    account = Account([r.network for r in requests], plan.arena_bytes, [r.steps for r in requests])
    for span, has_ended in _moments(simulation.spans):
        task = plan.tasks[span.task]
        if has_ended:
            account.end(task)
            continue
        loaded_bytes = account.begin(task)
        request = workload.requests[task.request]
        times = request.steps - KEPT_STEPS + 1 if span.step == KEPT_STEPS - 1 else 1
        yield (id(request.network), task.layer, task.tile), loaded_bytes, times, account.held_bytes


def _moments(spans: Iterable[Span]) -> Iterator[tuple[Span, bool]]:
    """Yield the begin (False) and the end (True) of each span in order of time; ends go before begins."""
    running: list[Span] = []
    for span in spans:
        for ended in sorted((each for each in running if each.end_s <= span.start_s), key=lambda each: each.end_s):
            running.remove(ended)
            yield ended, True
        running.append(span)
        yield span, False
