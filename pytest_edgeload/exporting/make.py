"""Make a stored network of a module: export it, run its samples, write weights, samples and graph. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only

from pytest_edgeload.base.functions import imported
from pytest_edgeload.exporting.export import CannotExport, Cut, Exported, export
from pytest_edgeload.exporting.fill import fill
from pytest_edgeload.exporting.model import evaluating, open_model
from pytest_edgeload.networks.checkpoint import read_checkpoint
from pytest_edgeload.networks.inputs import Inputs, as_samples
from pytest_edgeload.networks.layer import Layer, Network, Sample, TensorSpec, WeightFile
from pytest_edgeload.networks.making import Event, MakeNetwork, Progress, Waiting, is_saved_model
from pytest_edgeload.networks.store import SAMPLES, WEIGHTS, Store, write_graph, write_tensors
from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.tensors import spec_and_bytes

Made = list[tuple[TensorSpec, memoryview]]
_SEPARATE = "make it a network of its own"


@dataclass(frozen=True)
class _Held:
    """What a checkpoint has: its files, and where each weight of the module stands in them, by name."""

    parts: tuple[WeightFile, ...] = ()
    specs: Mapping[str, TensorSpec] = field(default_factory=dict)

    def behind(self, size_bytes: int) -> tuple[tuple[WeightFile, ...], dict[str, TensorSpec]]:
        """Return files and weights by name, moved behind a file of so many bytes."""
        move, replace = -(-size_bytes // PAGE) * PAGE, msgspec.structs.replace
        parts = tuple(replace(part, begin=part.begin + move) for part in self.parts)
        return parts, {name: replace(spec, offset=spec.offset + move) for name, spec in self.specs.items()}


def make_network(request: MakeNetwork, send: Callable[[Event], None]) -> Path:
    """Carry out `request` unless the network is in the store already; return the network's folder."""
    store = Store(Path(request.root))
    with store.making(request.key, lambda holder: send(Waiting(holder))) as folder:
        stored = store.find(request.key)  # another process may have made it while this one waited for the lock
        if stored is not None:
            return stored
        send(Progress(0, 0))
        factory = request.factory
        module, samples = open_model(factory if is_saved_model(factory) else imported(factory)())

        def show(done: int, total: int) -> None:
            send(Progress(done, total))

        digest = store_module(folder, request.name, module, samples, show, request.checkpoint)
        return store.keep(request.key, folder, digest)


def store_module(
    folder: Path,
    name: str,
    module: torch.nn.Module,
    samples: Sequence[Any],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    checkpoint: str | None = None,
) -> str:
    """Write `module` as the network `name` into `folder`; return the digest of its graph.

    `samples` are inputs of equal shapes, see `inputs`; the first is the one that is traced. Weights that stand in
    `checkpoint` stay there.
    """
    inputs, held = as_samples(samples), _Held()
    if checkpoint is not None:
        # Nothing is stored yet, so addresses count from 0; they move behind what will be.
        found = read_checkpoint(Path(checkpoint), 0)
        held = _Held(found.files, fill(module, found, checkpoint))
    exported = export(module, inputs[0])
    weights: dict[str, torch.Tensor] = {}
    for cut in exported.cuts:
        # Wider types first keeps every tensor aligned to its own size, as the format wants it.
        weights.update(sorted(cut.weights.items(), key=lambda item: -item[1].element_size()))
    tensors = [spec_and_bytes(weight, tensor) for weight, tensor in weights.items() if weight not in held.specs]
    total, done = sum(len(data) for _, data in tensors), 0

    def advance(written: int) -> None:
        nonlocal done
        done += written
        progress(done, total)

    specs, weights_sha256 = write_tensors(folder / WEIGHTS, tensors, advance)
    parts, stands = held.behind((folder / WEIGHTS).stat().st_size)
    stored, samples_sha256 = _store_samples(folder, module, inputs)
    network = _network(name, exported, stands | specs, stored, weights_sha256, samples_sha256)
    return write_graph(folder, msgspec.structs.replace(network, checkpoint_files=parts))


def _store_samples(folder: Path, module: torch.nn.Module, samples: Sequence[Inputs]) -> tuple[tuple[Sample, ...], str]:
    """Run plain PyTorch on each sample; write inputs and outputs."""
    entries: Made = []
    names: list[tuple[list[str], list[str]]] = []
    traced = _described(samples[0])
    with torch.inference_mode(), evaluating(module):
        for index, sample in enumerate(samples):
            if _described(sample) != traced:
                raise CannotExport(f"sample {index} differs from sample 0 in shapes, types or constants; {_SEPARATE}")
            pairs = (("input", _tensors((sample.args, sample.kwargs))), ("output", _answers(module, sample)))
            made = [
                [spec_and_bytes(f"{index}.{kind}.{i}", t) for i, t in enumerate(tensors)] for kind, tensors in pairs
            ]
            entries += made[0] + made[1]
            names.append(([spec.name for spec, _ in made[0]], [spec.name for spec, _ in made[1]]))
    specs, digest = write_tensors(folder / SAMPLES, entries)
    stored = tuple(Sample(tuple(specs[n] for n in given), tuple(specs[n] for n in due)) for given, due in names)
    return stored, digest


def _answers(module: torch.nn.Module, sample: Inputs) -> list[torch.Tensor]:
    """Return what plain PyTorch computes; copies of the inputs are asked, as some modules write to theirs."""
    args, kwargs = tree_map_only(torch.Tensor, torch.clone, (sample.args, dict(sample.kwargs)))
    return _tensors(module(*args, **kwargs))


def _tensors(nest: Any) -> list[torch.Tensor]:
    """Return the tensors of a nest, in the order in which they are exported."""
    return [leaf for leaf in tree_leaves(nest) if isinstance(leaf, torch.Tensor)]


def _described(sample: Inputs) -> list[Any]:
    """Return all that is traced of a sample: shapes and types of its tensors, and everything else as it is."""
    leaves, structure = tree_flatten((sample.args, dict(sample.kwargs)))
    return [structure, *((leaf.shape, leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves)]


def _network(
    name: str,
    exported: Exported,
    specs: dict[str, TensorSpec],
    samples: tuple[Sample, ...],
    weights_sha256: str,
    samples_sha256: str,
) -> Network:
    def layer(cut: Cut) -> Layer:
        return Layer(
            name=cut.name,
            kind=cut.kind,
            weights=tuple(sorted((specs[weight] for weight in cut.weights), key=lambda spec: spec.offset)),
            ops=tuple(cut.ops),
            activation_bytes=cut.activation_bytes,
            live_out_bytes=cut.live_out_bytes,
            flops=cut.flops,
        )

    layers = tuple(layer(cut) for cut in exported.cuts)
    return Network(name, layers, exported.inputs, exported.outputs, samples, weights_sha256, samples_sha256)
