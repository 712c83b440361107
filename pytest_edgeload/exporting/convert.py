"""Convert a stored network for a program, for instance into weights in the program's own format. Imports torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from pytest_edgeload import skeleton
from pytest_edgeload.base import files
from pytest_edgeload.base.functions import import_function
from pytest_edgeload.exporting.fill import fill
from pytest_edgeload.exporting.make import open_factory
from pytest_edgeload.exporting.model import evaluation_mode, open_model
from pytest_edgeload.networks.checkpoint import read_checkpoint
from pytest_edgeload.networks.folder import SAMPLES, WEIGHTS, map_file, read_graph
from pytest_edgeload.networks.inputs import Inputs, arranged
from pytest_edgeload.networks.layer import Network, Sample, TensorSpec
from pytest_edgeload.networks.making import ConvertNetwork, Event, Waiting
from pytest_edgeload.networks.store import Store
from pytest_edgeload.tensors import dtype_of, tensor_in


def convert_network(request: ConvertNetwork, send: Callable[[Event], None]) -> Path:
    """Carry out `request` unless the files are there already; return their folder.

    The function is called with the module, in evaluation mode and with the network's weights; its samples; and an empty
    folder, which is kept when the function returns.
    """
    kept = Path(request.files)
    with Store(Path(request.root)).making(request.key, lambda holder: send(Waiting(holder))) as folder:
        if not kept.is_dir():  # another process may have made it while this one waited for the lock
            module, samples = _opened(request, folder)
            with evaluation_mode(module):
                import_function(request.function)(module, samples, folder)
            _sync(folder)
            files.make_folder(kept.parent)
            folder.rename(kept)
    return kept


def _opened(request: ConvertNetwork, folder: Path) -> tuple[torch.nn.Module, list[Inputs]]:
    """Return the module with the network's weights, and the samples."""
    stored = Path(request.network)
    network = read_graph(stored)
    if request.skeleton is not None:
        module = skeleton.read(Path(request.skeleton))
        skeleton.assign_weights(module, _weights(stored, network))
        _add_unused(module)
        return module, _samples(stored, network)
    module, samples = open_model(open_factory(request.factory))
    if request.checkpoint is None:
        skeleton.assign_weights(module, _weights(stored, network))  # the factory may draw other weights each time
    else:
        checkpoint = read_checkpoint(Path(request.checkpoint), 0)
        fill(module, checkpoint, request.checkpoint, folder, request.names)
    return module, samples


def _weights(folder: Path, network: Network) -> dict[str, torch.Tensor]:
    """Return the stored weights by name, as views of the file."""
    return _views(folder / WEIGHTS, [spec for layer in network.layers for spec in layer.weights])


def _samples(folder: Path, network: Network) -> list[Inputs]:
    """Return the stored samples, as views of the file; those that are zeros are not in it."""
    stored = [spec for sample in network.samples for i, spec in enumerate(sample.inputs) if i not in sample.zeros]
    views = _views(folder / SAMPLES, stored)

    def inputs(sample: Sample) -> list[torch.Tensor]:
        return [
            torch.zeros(spec.shape, dtype=dtype_of(spec)) if i in sample.zeros else views[spec.name]
            for i, spec in enumerate(sample.inputs[: len(network.own_inputs)])
        ]

    return [arranged(network.nest, inputs(sample)) for sample in network.samples]


def _views(path: Path, specs: list[TensorSpec]) -> dict[str, torch.Tensor]:
    with path.open("rb") as file:
        memory = map_file(file.fileno())
    return {spec.name: tensor_in(memory, spec, spec.offset) for spec in specs}


def _add_unused(module: torch.nn.Module) -> None:
    """Give zeros to the weights that no output depends on, because they are not stored."""
    tensors = module.state_dict()
    skeleton.assign_weights(
        module, {name: torch.zeros_like(tensor, device="cpu") for name, tensor in tensors.items() if tensor.is_meta}
    )


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
