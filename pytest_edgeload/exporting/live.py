"""Make a network of a model that a test of this process holds already. Imports torch."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.exporting.make import store_module
from pytest_edgeload.exporting.model import evaluation_mode, open_model
from pytest_edgeload.networks.inputs import as_inputs
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.store import Store
from pytest_edgeload.tensors import spec_and_bytes


def fingerprint(model: Any, samples: Sequence[Any]) -> str:
    """Return a digest that changes with each weight of `model` and each value in `samples`.

    A test may change a weight in place, which only its bytes reveal.
    """
    digest = hashlib.sha256()
    state = getattr(model, "state_dict", {})
    inputs = [as_inputs(sample) for sample in samples]
    values = [state() if callable(state) else state, *((each.args, dict(each.kwargs)) for each in inputs)]
    if isinstance(model, torch.nn.Module):
        values.append(list(model.buffers()))  # including those outside the state
    for leaf in torch.utils._pytree.tree_leaves(values):  # noqa: SLF001  # torch.export flattens with it as well
        if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu":  # the export refuses any other device
            spec, data = spec_and_bytes("", leaf)
            digest.update(repr(spec).encode())
            digest.update(data)
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def keep_live(root: Path, name: str, model: Any, samples: Sequence[Any], *, tolerance: float | None = None) -> Path:
    """Write `model` as the network `name` into the store at `root`; return its folder.

    The model stays as it was. `tolerance` is the largest output error, see `make.store_module`. Raises
    PreparationFailed.
    """
    store, key = Store(root), "live"
    try:
        module, inputs = open_model((model, list(samples)))
        with store.making(key) as folder, evaluation_mode(module), _quiet_torch(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about its own code must not fail the test
            return store.keep(key, folder, store_module(folder, name, module, inputs, tolerance=tolerance))
    except (Refusal, ValueError, OSError) as error:
        reason, hint = (error.statement, error.hint) if isinstance(error, Refusal) else (str(error), "")
        raise PreparationFailed(f"network {name} could not be made", reason, hint) from error


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """Silence torch's thousands of debug lines about an export, which would fill the captured log of the test."""
    names = ["torch", *(name for name in logging.root.manager.loggerDict if name.startswith("torch."))]
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger, level in levels.items():
        logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
