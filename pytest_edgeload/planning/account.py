"""The byte account of a plan: which weights and activations are held after each task. Pure; for simulator and engine.

No lock, clock or torch: the engine guards its account with a lock, the simulator has one thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import WHOLE, live_out_bytes, tile_bytes, working_bytes
from pytest_edgeload.planning.plan import Task, WeightKey
from pytest_edgeload.planning.tied import Holders


class Account:
    """Counts the bytes that are held while the tasks of a plan begin and end.

    `networks` has the network of each request, and `steps` the number of its steps (1 if left out): between steps, a
    request keeps its inputs. The arena counts as weights from the start to the end, and loads that
    have a place in it add nothing. A weight that several layers of a request have loaded whole counts once. All figures
    are in bytes; `peak_bytes` is the largest sum of weights and activations so far, `peak_weight_bytes` the largest sum
    of weights alone.
    """

    def __init__(self, networks: Sequence[Network], arena_bytes: int = 0, steps: Sequence[int] = ()) -> None:
        self._networks = networks
        several = {r for r, count in enumerate(steps) if count > 1}
        self._kept_bytes = [network.input_bytes if r in several else 0 for r, network in enumerate(networks)]
        self._tiles: dict[WeightKey, int] = {}
        self._holders = Holders()
        self._activations = [0] * len(networks)
        self.weight_bytes = self.peak_weight_bytes = arena_bytes
        self.activation_bytes = 0
        self.peak_bytes = arena_bytes

    @property
    def held_bytes(self) -> int:
        """The sum of weights and activations now."""
        return self.weight_bytes + self.activation_bytes

    def begin(self, task: Task) -> int:
        """Add what `task` needs while it runs: its input, its weights, or its layer's activations.

        Return the bytes of weights that it reads.
        """
        network = self._networks[task.request]
        read_bytes = 0
        if task.layer is None:
            self._hold_activations(task.request, network.input_bytes + self._kept_bytes[task.request])
        elif task.kind == "load":
            read_bytes = self._load(task, network, task.layer)
        elif task.kind == "exec":
            working = working_bytes(network.layers[task.layer], task.tile)
            self._hold_activations(task.request, working + self._kept_bytes[task.request])
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        self.peak_weight_bytes = max(self.peak_weight_bytes, self.weight_bytes)
        return read_bytes

    def _load(self, task: Task, network: Network, layer: int) -> int:
        """Add the weights of a load; return the bytes that it reads."""
        if task.place is not None:
            return tile_bytes(network, layer, task.tile)
        if task.tile is WHOLE:
            new = self._holders.load(task.weights, network.layers[layer].weights)
            read_bytes = sum(weight.size_bytes for weight in new)
        else:
            read_bytes = self._tiles[task.weights] = tile_bytes(network, layer, task.tile)
        self.weight_bytes += read_bytes
        return read_bytes

    def end(self, task: Task) -> None:
        """Remove what `task` no longer needs: activations after an exec, weights after a free."""
        if task.kind == "exec" and task.layer is not None:
            layer = self._networks[task.request].layers[task.layer]
            self._hold_activations(task.request, live_out_bytes(layer, task.tile) + self._kept_bytes[task.request])
        elif task.kind == "free":
            gone_bytes = sum(weight.size_bytes for weight in self._holders.free(task.weights))
            self.weight_bytes -= gone_bytes + self._tiles.pop(task.weights, 0)

    def discard(self, request: int) -> None:
        """Remove the activations of a dropped request whose tasks have all ended."""
        self._hold_activations(request, 0)

    def _hold_activations(self, request: int, size_bytes: int) -> None:
        self.activation_bytes += size_bytes - self._activations[request]
        self._activations[request] = size_bytes
