"""What no run can beat, as programs: reading the weights and doing nothing else, and computing with all weights there.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import torch

from pytest_edgeload.engine.memory import arena
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.program import Answers
from pytest_edgeload.engine.readers import Reader
from pytest_edgeload.engine.tiles import LayerProgress
from pytest_edgeload.engine.weight_files import open_weights
from pytest_edgeload.job import Job
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.store import read_graph
from pytest_edgeload.networks.tile import PAGE, REQUESTED, WHOLE, Tile, cut, needed

_PIECE_BYTES, _IN_FLIGHT = 4 << 20, 4  # large and many enough to keep an NVMe disk busy

_TILE_BYTES = 16 << 20

_Piece = tuple[Reader, int, int]


def reading(job: Job) -> Callable[[], Answers]:
    """Return what reads once, past the page cache, what every way to answer the job's networks has to read."""
    pieces = [piece for folder in job.networks for piece in _pieces(Path(folder))]
    ring = arena(_IN_FLIGHT * _PIECE_BYTES)
    ring[:] = bytes(len(ring))  # resident from now on
    free = SimpleQueue[memoryview]()
    for start in range(0, len(ring), _PIECE_BYTES):
        free.put(ring[start : start + _PIECE_BYTES])

    def read(piece: _Piece) -> None:
        reader, offset, size_bytes = piece
        into = free.get()
        try:
            reader.read(offset, size_bytes, into)
        finally:
            free.put(into)

    def answer() -> Answers:
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            for _ in pool.map(read, pieces):
                pass
        return {}

    return answer


def _pieces(folder: Path) -> list[_Piece]:
    """Return what is to be read of the network in `folder`, each piece from the beginning of a page."""
    network = read_graph(folder)
    reader = open_weights("direct", folder, network)
    return [
        (reader, begin, min(_PIECE_BYTES, offset + size_bytes - begin))
        for offset, size_bytes in needed(network)
        for begin in range(offset // PAGE * PAGE, offset + size_bytes, _PIECE_BYTES)
    ]


def computing(job: Job) -> Callable[[], Answers]:
    """Return what answers all requests, one after the other; it has all weights already and has done it once before."""
    networks = [_resident(Path(folder), job.reader) for folder in job.networks]

    def answer() -> Answers:
        with torch.inference_mode():
            return {r: networks[asked.network](asked.sample) for r, asked in enumerate(job.requests)}

    answer()
    return answer


def _ranges(network: Network, layer: int) -> Sequence[Tile]:
    """Return the tiles of a layer that are there whatever is asked."""
    tiles = cut(network, layer, _TILE_BYTES)
    return (WHOLE,) if tiles == (REQUESTED,) else tiles


def _resident(folder: Path, reader: str) -> Callable[[int], list[torch.Tensor]]:
    """Return what answers the network in `folder` about a sample; it holds all weights."""
    opened = OpenNetwork(folder, reader)
    network = opened.network
    # Large layers by tiles, for the weights of some convolutions are faster brought into their layout piece by piece.
    tiles = [
        (i, rows, opened.load(layer, rows)) for i, layer in enumerate(network.layers) for rows in _ranges(network, i)
    ]

    def answer(sample: int) -> list[torch.Tensor]:
        values, progress = opened.inputs(sample), LayerProgress()
        for i, rows, held in tiles:
            opened.layers[i].run(rows, values, held, progress)
        return [values[name] for name in network.outputs]

    return answer
