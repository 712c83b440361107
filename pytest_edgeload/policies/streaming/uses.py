"""A workload as stages of tile uses: which requests are served together, and which tiles they need in which order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import (
    REQUESTED,
    Tile,
    cut,
    is_last,
    live_out_bytes,
    share,
    span_bytes,
    tile_bytes,
    working_bytes,
)
from pytest_edgeload.planning.plan import Speeds
from pytest_edgeload.workload import Workload, awaited_requests

TileKey = tuple[int, int, Tile]
"""A tile of a workload: the first request of its network, the layer, and the slice of the layer."""


class TileUse(msgspec.Struct, frozen=True):
    """A tile that is loaded once and executed for `requests`, in each of their steps; `steps` is the most of them.

    Times are in seconds for one step, `exec_s` for all requests. `stage` is the number of the stage. `exec_bytes`
    are the activations of a request while the tile is executed, with the copy of its weights that a convolution makes,
    and `left_bytes` those after it, which are the answer if the step ends with it.
    """

    requests: tuple[int, ...]
    key: TileKey
    size_bytes: int
    read_s: float
    exec_s: float
    steps: int = 1
    stage: int = 0
    exec_bytes: int = 0
    left_bytes: int = 0
    ends_step: bool = False

    @property
    def layer(self) -> int:
        """The index of the layer in its network."""
        return self.key[1]

    @property
    def tile(self) -> Tile:
        """The slice of the layer."""
        return self.key[2]

    @property
    def has_place(self) -> bool:
        """Whether the tile has a place in the arena. Requested rows have none: they differ from request to request."""
        return self.tile is not REQUESTED


Chain = Sequence[TileUse]
"""The tile uses of one network, in order."""

Stage = list[tuple[int, ...]]
"""Groups of requests; all requests of a group ask the same network."""


def stages(workload: Workload) -> list[Stage]:
    """Return the stages of a workload in order, each with its requests grouped by network.

    The requests of a stage arrive together and wait for nothing within the stage, so their networks can be interleaved
    in any order. Requests with several steps take them together, as long as they have some; others have a stage before.
    """
    networks = first_requests(workload)
    groups: dict[tuple[int, float, int, bool], dict[int, list[int]]] = {}
    depths: list[int] = []
    for r, request in enumerate(workload.asked):
        sources = awaited_requests(request) | (set() if request.when is None else {request.when.request})
        depths.append(max((depths[source] + 1 for source in sources), default=0))
        stage = groups.setdefault((request.batch, request.arrival_s, depths[r], request.steps > 1), {})
        stage.setdefault(networks[r], []).append(r)
    return [[tuple(group) for group in groups[key].values()] for key in sorted(groups)]


def first_requests(workload: Workload) -> list[int]:
    """Return, for each request, the first request of the same network. Two networks may have the same name."""
    first: dict[int, int] = {}
    return [first.setdefault(id(request.network), r) for r, request in enumerate(workload.requests)]


def serve(
    workload: Workload,
    first: int,
    requests: tuple[int, ...],
    max_bytes: int,
    speeds: Speeds,
    max_exec_s: float = math.inf,
) -> Iterator[TileUse]:
    """Yield the tile uses that serve `requests`, with tiles of at most `max_bytes` and `max_exec_s` if possible.

    All ask one network, whose first request in the workload is `first`.
    """
    return shared(serve_first(workload, first, max_bytes, speeds, max_exec_s), workload, requests)


def serve_first(
    workload: Workload, first: int, max_bytes: int, speeds: Speeds, max_exec_s: float = math.inf
) -> Iterator[TileUse]:
    """Yield the tile uses that serve only the first request of a network; see `serve`."""
    network, steps = workload.requests[first].network, workload.requests[first].steps
    for i, layer in enumerate(network.layers):
        parts = max(1, math.ceil(speeds.exec_s(layer) / max_exec_s))
        for tile in cut(network, i, max_bytes if parts == 1 else min(max_bytes, layer.weight_bytes // parts)):
            size_bytes = tile_bytes(network, i, tile) if tile is REQUESTED else span_bytes(layer, tile)
            read_s = size_bytes / speeds.read_bytes_per_s
            exec_s = speeds.exec_s(layer) * share(layer, tile)
            activations = _activations(network, i, tile, size_bytes)
            yield TileUse((first,), (first, i, tile), size_bytes, read_s, exec_s, steps, 0, *activations)


def shared(uses: Iterable[TileUse], workload: Workload, requests: tuple[int, ...]) -> Iterator[TileUse]:
    """Yield the uses that serve `requests`, given those that serve only the first request of their network."""
    steps = max(workload.requests[r].steps for r in requests)
    for use in uses:
        if use.has_place:
            yield replace(use, requests=requests, exec_s=use.exec_s * len(requests), steps=steps)
        else:
            for r in requests:
                yield replace(use, requests=(r,), steps=workload.requests[r].steps)


def _activations(network: Network, i: int, tile: Tile, size_bytes: int) -> tuple[int, int, bool]:
    """Return the activations while a tile is executed, those after it, and whether it ends a step."""
    layer = network.layers[i]
    ends_step = i == len(network.layers) - 1 and is_last(layer, tile)
    left_bytes = network.answer_bytes if ends_step else live_out_bytes(layer, tile)
    return working_bytes(layer, tile) + (size_bytes if layer.is_convolution else 0), left_bytes, ends_step
