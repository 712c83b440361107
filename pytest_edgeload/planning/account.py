"""The byte account of a plan: which weights and activations are held after each task. Pure; for simulator and engine.

No lock, clock or torch: the engine guards its account with a lock, the simulator has one thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import WHOLE, Tile, is_last, live_out_bytes, tile_bytes, working_bytes
from pytest_edgeload.planning.plan import Task, WeightKey
from pytest_edgeload.planning.tied import Holders


class Account:
    """Counts the bytes that are held while the tasks of a plan begin and end.

    `networks` has the network of each request, and `steps` the number of its steps (1 if left out). Until the last step
    has ended, a request keeps the inputs that it does not pass on; then it frees its buffers. The arena counts as
    weights from the start to the end, and loads that have a place in it add nothing. A weight that several layers of a
    request have loaded whole counts once. All figures are in bytes; `peak_bytes` is the largest sum of weights and
    activations so far, `peak_weight_bytes` the largest sum of weights alone.
    """

    def __init__(self, networks: Sequence[Network], arena_bytes: int = 0, steps: Sequence[int] = ()) -> None:
        self._networks: list[Network] = []
        self._steps: list[int] = []  # those that are left
        self._kept_bytes: list[int] = []
        self._activations: list[int] = []
        for r, network in enumerate(networks):
            self.add(network, steps[r] if steps else 1)
        self._tiles: dict[WeightKey, int] = {}
        self._holders = Holders()
        self.weight_bytes = self.peak_weight_bytes = arena_bytes
        self.activation_bytes = 0
        self.peak_bytes = arena_bytes

    def add(self, network: Network, steps: int = 1) -> None:
        """Add a request of `network` with so many steps."""
        self._networks.append(network)
        self._steps.append(steps)
        self._kept_bytes.append(network.kept_bytes if steps > 1 else 0)
        self._activations.append(0)

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
            self._hold_activations(task.request, network.input_bytes)
        elif task.kind == "load":
            read_bytes = self._load(task, network, task.layer)
        elif task.kind == "exec":
            self._hold_activations(task.request, working_bytes(network.layers[task.layer], task.tile))
        self.peak_bytes = max(self.peak_bytes, self.weight_bytes + self.activation_bytes)
        self.peak_weight_bytes = max(self.peak_weight_bytes, self.weight_bytes)
        return read_bytes

    def _load(self, task: Task, network: Network, layer: int) -> int:
        """Add the weights of a load; return the bytes that it reads."""
        if task.place is not None:
            return tile_bytes(network, layer, task.tile)
        if task.tile is WHOLE and network.tied_weights:
            new = self._holders.load(task.weights, network.layers[layer].weights)
            read_bytes = sum(weight.size_bytes for weight in new)
        else:
            read_bytes = self._tiles[task.weights] = tile_bytes(network, layer, task.tile)
        self.weight_bytes += read_bytes
        return read_bytes

    def end(self, task: Task) -> None:
        """Remove what `task` no longer needs: activations after an exec, weights after a free."""
        if task.kind == "exec" and task.layer is not None:
            self._end_exec(task.request, task.layer, task.tile)
        elif task.kind == "free":
            gone_bytes = sum(weight.size_bytes for weight in self._holders.free(task.weights))
            self.weight_bytes -= gone_bytes + self._tiles.pop(task.weights, 0)

    def _end_exec(self, r: int, i: int, tile: Tile) -> None:
        network = self._networks[r]
        held_bytes = live_out_bytes(network.layers[i], tile)
        if i == len(network.layers) - 1 and is_last(network.layers[i], tile):
            self._steps[r] -= 1
            held_bytes = network.input_bytes if self._steps[r] > 0 else network.answer_bytes
        self._hold_activations(r, held_bytes)

    def discard(self, request: int) -> None:
        """Remove the activations of a dropped request whose tasks have all ended."""
        self._steps[request] = 0
        self._hold_activations(request, 0)

    def _hold_activations(self, request: int, values_bytes: int) -> None:
        """Let these be the bytes of the values of `request`. Until its last step has ended, it keeps inputs."""
        size_bytes = values_bytes + (self._kept_bytes[request] if self._steps[request] > 0 else 0)
        self.activation_bytes += size_bytes - self._activations[request]
        self._activations[request] = size_bytes
