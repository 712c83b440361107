"""Convert a stored network for a program, for instance into weights in the program's own format. Imports torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from pytest_edgeload.base import files
from pytest_edgeload.base.functions import import_function
from pytest_edgeload.exporting.model import NoModel, open_model
from pytest_edgeload.networks.folder import WEIGHTS, converted_folder, map_file, read_graph
from pytest_edgeload.networks.making import ConvertNetwork, Event, Waiting
from pytest_edgeload.networks.store import Store
from pytest_edgeload.tensors import tensor_in


def convert_network(request: ConvertNetwork, send: Callable[[Event], None]) -> Path:
    """Carry out `request` unless the files are in the store already; return their folder.

    The function is called with the factory's module, loaded with the stored weights; its samples; and an empty folder,
    which is kept when the function returns. Raises NoModel for samples that are not tensors by position.
    """
    network = Path(request.network)
    kept = converted_folder(network, request.key)
    with Store(Path(request.root)).making(request.key, lambda holder: send(Waiting(holder))) as folder:
        if not kept.is_dir():  # another process may have made it while this one waited for the lock
            module, samples = open_model(import_function(request.factory)())
            if any(sample.kwargs or not all(map(torch.is_tensor, sample.args)) for sample in samples):
                reason = "its samples are not tensors by position, and a peer accepts nothing else"
                raise NoModel(request.factory, reason, "run the network under a policy")
            module.load_state_dict(_weights(network), strict=False)  # the factory may draw other weights each time
            import_function(request.function)(module, [sample.args for sample in samples], folder)
            _sync(folder)
            files.make_folder(kept.parent)
            folder.rename(kept)
    return kept


def _weights(network: Path) -> dict[str, torch.Tensor]:
    """Return the stored weights by name, as views of the file."""
    with (network / WEIGHTS).open("rb") as file:
        memory = map_file(file.fileno())
    return {
        spec.name: tensor_in(memory, spec, spec.offset)
        for layer in read_graph(network).layers
        for spec in layer.weights
    }


def _sync(folder: Path) -> None:
    """Write all files to the disk and let only this user change them. Dirty pages could not be dropped before a run."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o755)
        if path.is_file():
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
