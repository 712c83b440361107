"""Networks of models that tests hold themselves, for as long as the session lasts."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pytest_edgeload.errors import UsageError
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import read_graph


class LiveNetworks:
    """Makes networks of models in this process; each model once, and only the latest of a name is kept."""

    def __init__(self, registry: Registry, root: Path) -> None:
        self._registry = registry
        self._root = root
        self._made: dict[str, tuple[Callable[[], Any], Path, Network]] = {}

    def make(self, name: str, model: Any, *samples: Any) -> str:
        """Let `name` be the network of `model`; return it. Raises UsageError or PreparationFailed."""
        if isinstance(model, (str, os.PathLike)) and not samples:
            self._registry.register(name, os.fspath(model))
            return name
        known = self._made.get(name)
        if known is not None and known[0]() is model:
            return name
        if known is None:
            self._registry.check_free(name)
        # By its name: whoever has a model has imported torch, and nobody else has to.
        keep_live = importlib.import_module("pytest_edgeload.networks.live").keep_live
        place = hashlib.sha256(name.encode()).hexdigest()[:16]  # a name may have anything in it, `..` too
        folder: Path = keep_live(self._root / place, name, model, samples)
        network = read_graph(folder)
        if known is not None:
            if _shape(network) != _shape(known[2]):
                raise UsageError(f"network {name} is made of two models that differ; give one of them another name")
            if known[1] != folder:
                shutil.rmtree(known[1], ignore_errors=True)
        self._made[name] = (_reference(model), folder, network)
        self._registry.adopt(name, folder)
        return name

    def clear(self) -> None:
        """Remove what was made."""
        shutil.rmtree(self._root, ignore_errors=True)


def _shape(network: Network) -> Network:
    """Return all of a network but the values of its weights and samples."""
    return msgspec.structs.replace(network, weights_sha256="", samples_sha256="")


def _reference(model: Any) -> Callable[[], Any]:
    """Return what gives the model for as long as somebody else holds it."""
    try:
        return weakref.ref(model)
    except TypeError:  # a path
        return lambda: model
