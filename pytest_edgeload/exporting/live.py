"""Make a network of a model that a test of this process holds already. Imports torch."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_map

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal, with_notes
from pytest_edgeload.exporting.answers import call, copied, kept_buffers
from pytest_edgeload.exporting.make import store_module
from pytest_edgeload.exporting.model import evaluation_mode, open_model
from pytest_edgeload.exporting.weightless import NoSkeleton, write_skeleton
from pytest_edgeload.networks.folder import converted_folder
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.store import Store
from pytest_edgeload.tensors import NotPlain, inner_tensors, spec_and_bytes, tensors_in

_Update = Callable[[bytes | memoryview], object]
_CONSTANTS = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)


def fingerprint(name: str, model: Any, samples: Sequence[Any]) -> str:
    """Return a digest that changes with everything that `model` computes for `samples`, under the name `name`.

    It covers each weight and sample, and the operators and outputs of plain PyTorch for the first sample. So a change
    of an activation, a scale, a hook or `forward` is noticed, however it was made. Raises PreparationFailed.
    """
    digest = hashlib.sha256()
    with _about(name):
        module, inputs = open_model((model, list(samples)))
        outputs = _recorded_call(module, inputs[0], digest.update)
        for each, tensor in (*module.named_parameters(remove_duplicate=False), *module.named_buffers()):
            _add_tensor(each, tensor, digest.update)
        for sample in inputs:
            digest.update(repr(tree_map(_described, (sample.args, dict(sample.kwargs)))).encode())
            for tensor in tensors_in((sample.args, sample.kwargs)):
                _add_tensor("", tensor, digest.update)
        for tensor in outputs:
            _add_tensor("", tensor, digest.update)
    return digest.hexdigest()


def keep_live(root: Path, name: str, model: Any, samples: Sequence[Any], *, tolerance: float | None = None) -> Path:
    """Write `model` as the network `name` into the store at `root`; return its folder.

    The model stays as it was. `tolerance` is the largest output error, see `make.store_module`. Raises
    PreparationFailed.
    """
    store, key = Store(root), "live"
    with _about(name):
        module, inputs = open_model((model, list(samples)))
        with store.making(key) as folder, evaluation_mode(module), _quiet_torch(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about its own code must not fail the test
            return store.keep(key, folder, store_module(folder, name, module, inputs, tolerance=tolerance))


def keep_skeleton(network: Path, model: Any, samples: Sequence[Any], own: Iterable[ModuleType]) -> Path | Refusal:
    """Write `model` without its weights for the stored `network` of it; return the folder, or why that is impossible.

    Definitions of the Python modules `own` are pickled by value.
    """
    module, _ = open_model((model, list(samples)))
    folder = converted_folder(network, "skeleton")
    files.make_folder(folder)
    try:
        with evaluation_mode(module):
            write_skeleton(module, (), folder, own)
    except (NoSkeleton, NotPlain) as error:
        return error
    return folder


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Turn an error of making the network `name` into PreparationFailed."""
    try:
        yield
    except (Refusal, ValueError, OSError) as error:
        reason, hint = (error.statement, error.hint) if isinstance(error, Refusal) else (str(error), "")
        failure = PreparationFailed(f"network {name} could not be made", reason, hint)
        raise with_notes(failure, error) from error


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


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Describes each operator that runs, with its constants and the types and shapes of its tensors."""

    def __init__(self, update: _Update) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._update = update

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Describe the operator and run it."""
        self._update(f"{function} {tree_map(_described, (args, kwargs or {}))}".encode())
        return function(*args, **(kwargs or {}))


def _recorded_call(module: torch.nn.Module, sample: Inputs, update: _Update) -> list[torch.Tensor]:
    with warnings.catch_warnings(), kept_buffers(module), _Recorder(update):
        warnings.simplefilter("ignore")
        return copied(call(module, sample))


def _described(leaf: Any) -> Any:
    """Return a leaf of the arguments of an operator, without values of tensors and addresses of objects."""
    if isinstance(leaf, torch.Tensor):
        return str(leaf.dtype), () if leaf.is_nested else tuple(leaf.shape)
    return leaf if isinstance(leaf, _CONSTANTS) else type(leaf).__name__


def _add_tensor(name: str, tensor: torch.Tensor, update: _Update) -> None:
    """Add the values of a tensor. One without bytes counts as changed, because its values cannot be compared."""
    if is_traceable_wrapper_subclass(tensor):
        update(repr(tensor.__tensor_flatten__()[1]).encode())
    for inner in inner_tensors(tensor):
        try:
            spec, data = spec_and_bytes(name, inner)
        except NotPlain:
            update(os.urandom(16))
        else:
            update(repr(spec).encode())
            update(data)
