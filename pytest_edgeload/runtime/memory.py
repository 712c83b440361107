"""The weights that a runtime holds from one window to the next. Imports torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from pytest_edgeload.engine.memory import trim
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.tiles import TileTensors
from pytest_edgeload.networks.tile import specs
from pytest_edgeload.planning.plan import Task
from pytest_edgeload.runtime.arena import ReusedArena
from pytest_edgeload.runtime.remainder import StoredTile


class ResidentTile(NamedTuple):
    """Weights in memory; `place` is None for memory of their own."""

    tensors: TileTensors
    place: int | None


class WeightMemory:
    """The tiles in memory, and the arena that some of them are in; and what malloc keeps, see `Ledger.heap_bytes`."""

    def __init__(self, networks: Mapping[str, OpenNetwork]) -> None:
        self._networks = networks
        self._tiles: dict[StoredTile, ResidentTile] = {}
        self._arena = ReusedArena()
        self.heap_bytes = 0

    def places(self, arena_bytes: int) -> dict[StoredTile, int | None]:
        """Return the place of each tile that a plan with an arena of this size can keep."""
        fits = self._arena.fits(arena_bytes)
        return {tile: found.place for tile, found in self._tiles.items() if fits or found.place is None}

    def keep(self, tiles: Collection[StoredTile], arena_bytes: int) -> memoryview | None:
        """Free all tiles but these, and return the memory for an arena of this size."""
        self._drop([tile for tile in self._tiles if tile not in tiles])
        return self._arena.of(arena_bytes)

    def take(self, loads: Mapping[StoredTile, Task]) -> Iterator[tuple[Task, TileTensors]]:
        """Remove tiles, and yield the load of each with its tensors."""
        for tile, load in loads.items():
            yield load, self._tiles.pop(tile).tensors

    def put(self, tile: StoredTile, tensors: TileTensors, place: int | None) -> None:
        """Hold a tile."""
        self._tiles[tile] = ResidentTile(tensors, place)

    def clear(self) -> None:
        """Free all tiles, and return their memory to the system."""
        self._drop([*self._tiles])
        self._arena.of(0)
        self.heap_bytes = 0
        trim()

    def _drop(self, tiles: Collection[StoredTile]) -> None:
        for tile in tiles:
            del self._tiles[tile]
            name, layer, rows = tile
            network = self._networks[name]
            if layer is not None:
                network.drop(specs(network.network.layers[layer], rows))
