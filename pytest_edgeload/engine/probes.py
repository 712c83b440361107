"""Programs that measure lower bounds of a run: reading the needed weights alone, and computing with resident weights.

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
from pytest_edgeload.engine.tied import TiedTensors
from pytest_edgeload.engine.tiles import LayerProgress, TileTensors
from pytest_edgeload.engine.weight_files import open_weights
from pytest_edgeload.job import Job
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE, REQUESTED, WHOLE, Tile, cut, required_stretches

_PIECE_BYTES, _IN_FLIGHT = 4 << 20, 4  # enough to keep an NVMe disk busy

_TILE_BYTES = 16 << 20

_Piece = tuple[Reader, int, int]  # reader, offset, size


def reading(job: Job) -> Callable[[], Answers]:
    """Return a function that reads all weights that every answer needs, once, past the page cache."""
    pieces = [piece for folder in job.networks for piece in _pieces(Path(folder))]
    ring = arena(_IN_FLIGHT * _PIECE_BYTES)
    ring[:] = bytes(len(ring))  # makes it resident
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
    """Return the needed weights of the network in `folder` in pieces; each begins at a page boundary."""
    network = read_graph(folder)
    reader = open_weights("direct", folder, network)
    return [
        (reader, begin, min(_PIECE_BYTES, offset + size_bytes - begin))
        for offset, size_bytes in required_stretches(network)
        for begin in range(offset // PAGE * PAGE, offset + size_bytes, _PIECE_BYTES)
    ]


def computing(job: Job) -> Callable[[], Answers]:
    """Return a function that answers all requests one by one; all weights are resident, and one run is done already."""
    networks = [_resident(Path(folder), job.reader) for folder in job.networks]

    def answer() -> Answers:
        with torch.inference_mode():
            return {r: networks[request.network](request.sample) for r, request in enumerate(job.requests)}

    answer()
    return answer


def _resident(folder: Path, reader: str) -> Callable[[int], list[torch.Tensor]]:
    """Return a function that returns the outputs for a sample; it holds all weights of the network in `folder`."""
    opened, tied = OpenNetwork(folder, reader), TiedTensors()
    network = opened.network

    def load(i: int, tile: Tile) -> TileTensors:
        layer = network.layers[i]
        return opened.load_whole(layer, (0, i, tile), tied) if tile is WHOLE else opened.load(layer, tile)

    tiles = [(i, tile, load(i, tile)) for i in range(len(network.layers)) for tile in _tiles(network, i)]

    def answer(sample: int) -> list[torch.Tensor]:
        values, progress = opened.inputs(sample), LayerProgress()
        for i, tile, weights in tiles:
            opened.first_layers[i].run(tile, values, weights, progress)
        outputs = network.first_outputs or network.outputs
        return [values[name] for name in outputs[: len(network.own_outputs)]]

    return answer


def _tiles(network: Network, layer: int) -> Sequence[Tile]:
    """Return the tiles of a layer. Large layers are cut: converting the weights of some convolutions is faster so.

    An embedding is loaded whole, and so are weights that other layers share.
    """
    tiles = cut(network, layer, _TILE_BYTES)
    is_shared = not network.tied_weights.isdisjoint(network.layers[layer].weights)
    return (WHOLE,) if is_shared or tiles == (REQUESTED,) else tiles
