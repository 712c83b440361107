"""Programs that measure lower bounds of a run: reading the needed weights alone, and computing with resident weights.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import torch

from pytest_edgeload.engine.memory import arena
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.program import Answers
from pytest_edgeload.engine.readers import Reader
from pytest_edgeload.engine.steps import StepsOfRequest
from pytest_edgeload.engine.tied import TiedTensors
from pytest_edgeload.engine.tiles import LayerProgress, TileTensors, Values
from pytest_edgeload.engine.weight_files import open_weights
from pytest_edgeload.job import Job
from pytest_edgeload.networks.compressed import StoreForm
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE, REQUESTED, WHOLE, Tile, cut, required_stretches

_PIECE_BYTES, _IN_FLIGHT = 4 << 20, 4  # enough to keep an NVMe disk busy

_TILE_BYTES = 16 << 20

_Piece = tuple[Reader, int, int]  # reader, offset, size


def reading(job: Job) -> Callable[[], Answers]:
    """Return a function that reads all weights that every answer needs, once, past the page cache.

    Compressed weights are restored as well.
    """
    pieces = [piece for folder in job.networks for piece in _pieces(Path(folder), job.store)]
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


def _pieces(folder: Path, store: StoreForm) -> list[_Piece]:
    """Return the needed weights of the network in `folder` in pieces; each begins at a page boundary."""
    network = read_graph(folder)
    reader = open_weights("direct", folder, network, store)
    return [
        (reader, begin, min(_PIECE_BYTES, offset + size_bytes - begin))
        for offset, size_bytes in required_stretches(network)
        for begin in range(offset // PAGE * PAGE, offset + size_bytes, _PIECE_BYTES)
    ]


def computing(job: Job) -> Callable[[], Answers]:
    """Return a function that executes the last step of each request, one by one; all weights are resident.

    The earlier steps are done already, and the last one as well, once, on a copy of its inputs.
    """
    networks = [_LoadedNetwork(Path(folder), job.reader) for folder in job.networks]
    with torch.inference_mode():
        inputs = [networks[each.network].last_inputs(each.sample, each.steps) for each in job.requests]

    def answer(inputs: Sequence[Values]) -> Answers:
        with torch.inference_mode():
            return {
                r: networks[request.network].outputs(inputs[r], is_first=request.steps == 1)
                for r, request in enumerate(job.requests)
            }

    answer([{name: tensor.clone() for name, tensor in each.items()} for each in inputs])
    return partial(answer, inputs)


class _LoadedNetwork:
    """The network in `folder` with all of its weights in memory."""

    def __init__(self, folder: Path, reader: str) -> None:
        self._opened, tied = OpenNetwork(folder, reader), TiedTensors()
        network = self._opened.network

        def load(i: int, tile: Tile) -> TileTensors:
            layer = network.layers[i]
            return (
                self._opened.load_whole(layer, (0, i, tile), tied) if tile is WHOLE else self._opened.load(layer, tile)
            )

        self._tiles = [(i, tile, load(i, tile)) for i in range(len(network.layers)) for tile in _tiles(network, i)]

    def last_inputs(self, sample: int, steps: int) -> Values:
        """Return the inputs of the last of so many steps of a sample."""
        inputs: Mapping[str, torch.Tensor] | None = self._opened.inputs(sample)
        progress = StepsOfRequest(self._opened, sample, steps)
        assert inputs is not None
        progress.begin(inputs)
        for step in range(steps - 1):
            inputs = progress.end(self._all_outputs(dict(inputs), is_first=step == 0))
            assert inputs is not None  # only after the last step
        return dict(inputs)

    def outputs(self, values: Values, *, is_first: bool) -> list[torch.Tensor]:
        """Execute a step with these inputs, which it changes; return what the module returns."""
        return self._all_outputs(values, is_first=is_first)[: len(self._opened.network.own_outputs)]

    def _all_outputs(self, values: Values, *, is_first: bool) -> list[torch.Tensor]:
        layers = self._opened.first_layers if is_first else self._opened.layers
        progress = LayerProgress()
        for i, tile, weights in self._tiles:
            layers[i].run(tile, values, weights, progress)
        network = self._opened.network
        return [values[name] for name in (is_first and network.first_outputs) or network.outputs]


def _tiles(network: Network, layer: int) -> Sequence[Tile]:
    """Return the tiles of a layer. Large layers are cut: converting the weights of some convolutions is faster so.

    An embedding is loaded whole, and so are weights that other layers share.
    """
    tiles = cut(network, layer, _TILE_BYTES)
    is_shared = not network.tied_weights.isdisjoint(network.layers[layer].weights)
    return (WHOLE,) if is_shared or tiles == (REQUESTED,) else tiles
