"""A network made in the process that asks for it, of a model that it holds already. Imports torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_edgeload.errors import Refusal
from pytest_edgeload.networks.model import evaluating, opened
from pytest_edgeload.networks.prepare import store_module
from pytest_edgeload.networks.registry import PreparationFailed
from pytest_edgeload.networks.store import Store


def keep_live(root: Path, name: str, model: Any, samples: Sequence[Any]) -> Path:
    """Write `model` as the network `name` into the store at `root`; return its folder.

    The model is left as it was. Raises PreparationFailed or UsageError.
    """
    store, key = Store(root), "live"
    try:
        module, inputs = opened((model, list(samples)))
        with store.making(key) as folder, evaluating(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of its own code is no test's failure
            return store.keep(key, folder, store_module(folder, name, module, inputs))
    except (Refusal, ValueError, OSError) as error:
        raise PreparationFailed(f"network {name} could not be made: {error}") from error
