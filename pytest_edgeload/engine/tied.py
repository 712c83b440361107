"""Tied weights in memory: the first load of a request that needs one reads it, the others share it. Imports torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import torch

from pytest_edgeload.engine.tiles import TileTensors
from pytest_edgeload.networks.layer import TensorSpec
from pytest_edgeload.planning.plan import WeightKey
from pytest_edgeload.planning.tied import Holders


class TiedTensors:
    """The tied weights that the requests of a job hold; several lanes can load and free them at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = Holders()
        self._tensors: dict[tuple[int, TensorSpec], Future[torch.Tensor]] = {}

    def load(
        self, key: WeightKey, weights: Sequence[TensorSpec], read: Callable[[Sequence[TensorSpec]], TileTensors]
    ) -> TileTensors:
        """Return `weights` for the load `key`; call `read` for each that no load of its request holds.

        Each is read on its own, because tensors that share memory would keep each other. The lane waits for those that
        another lane is reading, after it has read its own, so that no two lanes wait for each other.
        """
        with self._lock:
            new = self._holders.load(key, weights)
            self._tensors |= {(key[0], weight): Future() for weight in new}
            tensors = {weight.name: self._tensors[key[0], weight] for weight in weights}
        for weight in new:
            try:
                tensors[weight.name].set_result(read([weight])[weight.name])
            except BaseException as error:
                for name in (other.name for other in new if not tensors[other.name].done()):
                    tensors[name].set_exception(error)
                raise
        return {name: tensor.result() for name, tensor in tensors.items()}

    def free(self, key: WeightKey) -> None:
        """Let the weights of the load `key` go, and forget those that no load holds any more."""
        with self._lock:
            for weight in self._holders.free(key):
                del self._tensors[key[0], weight]

    def holds(self, request: int, weight: TensorSpec) -> bool:
        """Return whether a load of `request` holds `weight`."""
        return (request, weight) in self._tensors
