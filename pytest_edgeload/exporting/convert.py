"""What a program needs of a stored network beforehand, such as weights in a format of its own. Imports torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from pytest_edgeload.base import files
from pytest_edgeload.base.functions import imported
from pytest_edgeload.base.locks import silent
from pytest_edgeload.exporting.model import NoModel, opened
from pytest_edgeload.networks.store import WEIGHTS, Store, converted, mapped, read_graph
from pytest_edgeload.tensors import tensor_in


def convert(
    store: Store, key: str, network: Path, factory: str, function: str, waits: Callable[[str], None] = silent
) -> Path:
    """Let `function` make its files of the network stored in `network`; return the folder that keeps them.

    It is called with the module that `factory` gives, the stored weights in it; with the samples; and with an empty
    folder, which is kept under `key` when the function returns. `waits` as for `Store.making`.
    """
    kept = converted(network, key)
    with store.making(key, waits) as folder:
        if not kept.is_dir():  # another process may have made it while this one waited for the lock
            module, samples = opened(imported(factory)())
            if any(sample.kwargs or not all(map(torch.is_tensor, sample.args)) for sample in samples):
                raise NoModel(f"peers are asked by position, and {factory} gives other samples; run it under a policy")
            module.load_state_dict(_weights(network), strict=False)  # the factory may have drawn others this time
            imported(function)(module, [sample.args for sample in samples], folder)
            _sync(folder)
            files.make(kept.parent)
            folder.rename(kept)
    return kept


def _weights(network: Path) -> dict[str, torch.Tensor]:
    """Return the stored weights by name, as views of the file."""
    with (network / WEIGHTS).open("rb") as file:
        memory = mapped(file.fileno())
    return {
        spec.name: tensor_in(memory, spec, spec.offset)
        for layer in read_graph(network).layers
        for spec in layer.weights
    }


def _sync(folder: Path) -> None:
    """Write all files to the disk, where dirty pages could not be dropped before a run, and let only us write there."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o755)
        if path.is_file():
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
