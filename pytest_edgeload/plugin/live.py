"""Networks of models that tests create themselves. They last as long as the session."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from pytest_edgeload.base.errors import UsageError, check_name
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.recipe import checked_tolerance
from pytest_edgeload.networks.registry import Registry


class _LiveNetwork(NamedTuple):
    """A network, its folder, and its source: the fingerprint of the model and the samples, and the tolerance."""

    fingerprint: tuple[str, float | None]
    folder: Path
    network: Network


class LiveNetworks:
    """Makes networks of models in this process. Makes each model once, and keeps only the latest network of a name."""

    def __init__(self, registry: Registry, root: Path) -> None:
        self._registry = registry
        self._root = root
        self._networks: dict[str, _LiveNetwork] = {}

    def make(
        self,
        name: str,
        model: Any,
        *samples: Any,
        tolerance: float | None = None,
        own: Iterable[ModuleType] = (),
    ) -> str:
        """Make `name` the network of `model`, and return the name. Raises UsageError or PreparationFailed.

        `own` are the modules that a worker cannot import.
        """
        check_name("network", name)
        tolerance = checked_tolerance(tolerance)
        if isinstance(model, (str, os.PathLike)):
            if not samples:
                self._registry.register(name, model, tolerance=tolerance)
                return name
            model = self._registry.base / model
        # Imported by name: a test with a model has imported torch, and other tests need not.
        exporting = importlib.import_module("pytest_edgeload.exporting.live")
        known = self._networks.get(name)
        if known is None:
            self._registry.check_free(name)
        elif known.fingerprint == (exporting.fingerprint(name, model, samples), tolerance):
            return name
        root = self._root / _folder_name(name)
        folder: Path = exporting.keep_live(root, name, model, samples, tolerance=tolerance)
        network = read_graph(folder)
        if known is not None:
            if _shape(network) != _shape(known.network):
                reason = "two models that differ have this name"
                raise UsageError(f"network {name}", reason, "give one of them another name")
            if known.folder != folder:
                shutil.rmtree(known.folder, ignore_errors=True)
        # Taken only now, because a first run may fill caches of the model, and later runs then use other operators.
        fingerprint = (exporting.fingerprint(name, model, samples), tolerance)
        self._networks[name] = _LiveNetwork(fingerprint, folder, network)
        self._registry.adopt(name, folder, exporting.keep_skeleton(folder, model, samples, own))
        return name

    def clear(self) -> None:
        """Remove all networks from disk."""
        shutil.rmtree(self._root, ignore_errors=True)


def _folder_name(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]  # the name itself may contain anything, such as `..`


def _shape(network: Network) -> Network:
    """Return the network without the values of its weights and samples, and without its tolerance."""
    return msgspec.structs.replace(network, weights_sha256="", samples_sha256="", tolerance=0.0)
