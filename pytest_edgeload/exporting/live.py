"""A network made in the process that asks for it, of a model that it holds already. Imports torch."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.exporting.make import store_module
from pytest_edgeload.exporting.model import evaluating, open_model
from pytest_edgeload.networks.inputs import as_inputs
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.store import Store
from pytest_edgeload.tensors import spec_and_bytes


def fingerprint(model: Any, samples: Sequence[Any]) -> str:
    """Return what changes when a weight of `model` or a value in `samples` does: a digest of all of them.

    A weight may be changed where it stands, which nothing but its bytes is sure to tell.
    """
    digest = hashlib.sha256()
    state = getattr(model, "state_dict", {})
    held = [state() if callable(state) else state, *map(_told, samples)]
    if isinstance(model, torch.nn.Module):
        held.append(list(model.buffers()))  # those that are no part of the state, too
    for leaf in torch.utils._pytree.tree_leaves(held):  # noqa: SLF001  # the flattening export uses
        if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu":  # any other is refused when it is exported
            spec, data = spec_and_bytes("", leaf)
            digest.update(repr(spec).encode())
            digest.update(data)
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def _told(sample: Any) -> Any:
    inputs = as_inputs(sample)
    return inputs.args, dict(inputs.kwargs)


def keep_live(root: Path, name: str, model: Any, samples: Sequence[Any]) -> Path:
    """Write `model` as the network `name` into the store at `root`; return its folder.

    The model is left as it was. Raises PreparationFailed or UsageError.
    """
    store, key = Store(root), "live"
    try:
        module, inputs = open_model((model, list(samples)))
        with store.making(key) as folder, evaluating(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of its own code is no test's failure
            return store.keep(key, folder, store_module(folder, name, module, inputs))
    except (Refusal, ValueError, OSError) as error:
        reason, hint = (error.statement, error.hint) if isinstance(error, Refusal) else (str(error), "")
        raise PreparationFailed(f"network {name} could not be made", reason, hint) from error
