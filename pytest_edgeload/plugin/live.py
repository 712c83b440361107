"""Networks of models that tests hold themselves, for as long as the session lasts."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pytest_edgeload.base.errors import UsageError, check_name
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import read_graph


class _Made(NamedTuple):
    """A network that was made: of which model, in which state of it and with which samples, and where it stands."""

    model: Callable[[], Any]
    fingerprint: str
    folder: Path
    network: Network


class LiveNetworks:
    """Makes networks of models in this process; each model once, and only the latest of a name is kept."""

    def __init__(self, registry: Registry, root: Path) -> None:
        self._registry = registry
        self._root = root
        self._made: dict[str, _Made] = {}

    def make(self, name: str, model: Any, *samples: Any) -> str:
        """Let `name` be the network of `model`; return it. Raises UsageError or PreparationFailed."""
        check_name("network", name)
        if isinstance(model, (str, os.PathLike)):
            if not samples:
                self._registry.register(name, model)
                return name
            model = self._registry.base / model
        # By its name: whoever has a model has imported torch, and nobody else has to.
        live = importlib.import_module("pytest_edgeload.exporting.live")
        known = self._made.get(name)
        fingerprint: str = live.fingerprint(model, samples)
        if known is not None and known.model() is model and known.fingerprint == fingerprint:
            return name
        if known is None:
            self._registry.check_free(name)
        place = hashlib.sha256(name.encode()).hexdigest()[:16]  # a name may have anything in it, `..` too
        folder: Path = live.keep_live(self._root / place, name, model, samples)
        network = read_graph(folder)
        if known is not None:
            if _shape(network) != _shape(known.network):
                raise UsageError(f"network {name} is made of two models that differ; give one of them another name")
            if known.folder != folder:
                shutil.rmtree(known.folder, ignore_errors=True)
        self._made[name] = _Made(_reference(model), fingerprint, folder, network)
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
