"""A workload as stages of chains of units: which requests are served together, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_edgeload.networks.tile import Rows, cut, share, span_bytes, tile_bytes
from pytest_edgeload.planning.plan import Speeds
from pytest_edgeload.workload import Workload

Tile = tuple[int, int, Rows]
"""A network by the number of the first request of it, a layer, and the rows."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A tile, and the requests that it serves when it is loaded once; the seconds are for all of them."""

    requests: tuple[int, ...]
    tile: Tile
    size_bytes: int
    read_s: float
    exec_s: float

    @property
    def layer(self) -> int:
        """Which layer of its network this is, or is part of."""
        return self.tile[1]

    @property
    def rows(self) -> Rows:
        """Which part of the layer this is."""
        return self.tile[2]

    @property
    def has_place(self) -> bool:
        """Whether it can be brought to a place; the rows that one request asks for are nobody else's."""
        return self.rows != "asked"


Chain = Sequence[Unit]

Stage = list[tuple[int, ...]]
"""Groups of requests, those of one group of one network."""


def stages(workload: Workload) -> list[Stage]:
    """Return the requests stage by stage, in each those of one network together.

    A stage is what arrives together and waits for nothing in the stage: its networks can be interleaved at will.
    """
    networks = first_requests(workload)
    found: dict[tuple[int, float, int], dict[int, list[int]]] = {}
    depths: list[int] = []
    for r, request in enumerate(workload.asked):
        depths.append(0 if request.when is None else depths[request.when.request] + 1)
        groups = found.setdefault((request.batch, request.arrival_s, depths[r]), {})
        groups.setdefault(networks[r], []).append(r)
    return [[tuple(group) for group in found[key].values()] for key in sorted(found)]


def first_requests(workload: Workload) -> list[int]:
    """Return for each request the first one of the same network; two networks may have the same name."""
    first: dict[int, int] = {}
    return [first.setdefault(id(request.network), r) for r, request in enumerate(workload.requests)]


def serve(workload: Workload, requests: tuple[int, ...], most_bytes: int, speeds: Speeds) -> Iterator[Unit]:
    """Yield the units, none larger than `most_bytes` if possible, that serve `requests`, all of one network."""
    network = workload.requests[requests[0]].network
    name = first_requests(workload)[requests[0]]
    for i, layer in enumerate(network.layers):
        for rows in cut(network, i, most_bytes):
            size_bytes = span_bytes(layer, rows) if rows != "asked" else tile_bytes(network, i, rows)
            exec_s = speeds.exec_s(layer) * share(layer, rows)
            served = [(r,) for r in requests] if rows == "asked" else [requests]
            for some in served:
                read_s = size_bytes / speeds.read_bytes_per_s
                yield Unit(some, (name, i, rows), size_bytes, read_s, exec_s * len(some))
