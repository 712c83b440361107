"""Tied weights: a request holds one copy, however many of its layers load it. Pure; for the account and the engine."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_edgeload.networks.layer import TensorSpec
from pytest_edgeload.planning.plan import WeightKey


class Holders:
    """The loads that hold each weight of each request. A weight stays as long as one of them does."""

    def __init__(self) -> None:
        self._weights: dict[WeightKey, tuple[TensorSpec, ...]] = {}
        self._counts: dict[tuple[int, TensorSpec], int] = {}

    def load(self, key: WeightKey, weights: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        """Let the load `key` hold `weights`; return those that no load of its request has held."""
        self._weights[key] = tuple(weights)
        new = tuple(weight for weight in weights if (key[0], weight) not in self._counts)
        for weight in weights:
            self._counts[key[0], weight] = self._counts.get((key[0], weight), 0) + 1
        return new

    def free(self, key: WeightKey) -> tuple[TensorSpec, ...]:
        """Let the weights of the load `key` go; return those that no load of its request holds any more."""
        gone: list[TensorSpec] = []
        for weight in self._weights.pop(key, ()):
            self._counts[key[0], weight] -= 1
            if not self._counts[key[0], weight]:
                del self._counts[key[0], weight]
                gone.append(weight)
        return tuple(gone)
