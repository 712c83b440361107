"""Make a stored network of a module: export it, run its samples, write weights, samples and graph. Imports torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import torch

from pytest_edgeload.base.functions import import_function
from pytest_edgeload.exporting.answers import SampleAnswer, answers, signature
from pytest_edgeload.exporting.cut import LayerDraft
from pytest_edgeload.exporting.export import LayeredModule, export
from pytest_edgeload.exporting.feeding import arguments, next_sample
from pytest_edgeload.exporting.fill import fill
from pytest_edgeload.exporting.model import check_type, open_model
from pytest_edgeload.exporting.tolerance import tolerance_of
from pytest_edgeload.networks.checkpoint import read_checkpoint
from pytest_edgeload.networks.dependencies import imported_since
from pytest_edgeload.networks.folder import SAMPLES, WEIGHTS, write_graph
from pytest_edgeload.networks.inputs import Inputs, as_samples, nest_of
from pytest_edgeload.networks.layer import FirstStep, Layer, Network, Sample, TensorSpec, WeightFile
from pytest_edgeload.networks.making import Event, MakeNetwork, Progress, Waiting, is_saved_model
from pytest_edgeload.networks.store import Store
from pytest_edgeload.networks.tensor_file import write_tensors
from pytest_edgeload.networks.tile import PAGE
from pytest_edgeload.tensors import spec_and_bytes, tensors_in


@dataclass(frozen=True)
class _CheckpointWeights:
    """The files of a checkpoint, and the weights of the module in them by name."""

    files: tuple[WeightFile, ...] = ()
    specs: Mapping[str, TensorSpec] = field(default_factory=dict)

    @classmethod
    def of(cls, module: torch.nn.Module, checkpoint: str, names: Mapping[str, str], folder: Path) -> _CheckpointWeights:
        """Let the weights of `module` be those in a checkpoint, and return them; see `fill`. Raises BadCheckpoint."""
        files = read_checkpoint(Path(checkpoint), 0)  # addresses move when the size of the stored weights is known
        return cls(files.files, fill(module, files, checkpoint, folder, names))

    def behind(self, size_bytes: int) -> _CheckpointWeights:
        """Return these files and weights at addresses behind a file of `size_bytes`."""
        shift, replace = -(-size_bytes // PAGE) * PAGE, msgspec.structs.replace
        return _CheckpointWeights(
            tuple(replace(file, begin=file.begin + shift) for file in self.files),
            {name: replace(spec, offset=spec.offset + shift) for name, spec in self.specs.items()},
        )


@dataclass(frozen=True)
class _OneByOne:
    """Tensors with their specs and bytes; those that are not contiguous are copied only while they are used."""

    tensors: Mapping[str, torch.Tensor]

    def __iter__(self) -> Iterator[tuple[TensorSpec, memoryview]]:
        return (spec_and_bytes(name, tensor) for name, tensor in self.tensors.items())


def open_factory(factory: str) -> Any:
    """Return the value of a factory, which is written as `module:function`, or the path of a saved model itself."""
    return factory if is_saved_model(factory) else import_function(factory)()


def make_network(request: MakeNetwork, send: Callable[[Event], None]) -> Path:
    """Carry out `request` unless the network is in the store already; return the folder of the network."""
    store = Store(Path(request.root))
    with store.making(request.key, lambda holder: send(Waiting(holder))) as folder:
        stored = store.find(request.key)  # another process may have made it while this one waited for the lock
        if stored is not None:
            return stored
        send(Progress(0, 0))
        before = set(sys.modules)
        module, samples = open_model(open_factory(request.factory))

        def show(done_bytes: int, total_bytes: int) -> None:
            send(Progress(done_bytes, total_bytes))

        digest = store_module(
            folder, request.name, module, samples, show, request.checkpoint, request.tolerance, request.names
        )
        return store.keep(request.key, folder, digest, imported_since(before))


def store_module(
    folder: Path,
    name: str,
    module: torch.nn.Module,
    samples: Sequence[Any],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    checkpoint: str | None = None,
    tolerance: float | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Write `module` as the network `name` into `folder`; return the digest of its graph.

    `samples` are inputs of equal shapes, see `networks.inputs`; the first one is traced. `progress` is called with the
    bytes written and the total. Weights in `checkpoint` are copied only if they are not aligned. `tolerance` is the
    largest output error, None if it follows from the types. `names` has the names of tensors in the checkpoint by those
    in the module, if they differ. Raises CannotExport, NotPlain, BadCheckpoint or UsageError.
    """
    inputs = as_samples(samples)
    external = _CheckpointWeights() if checkpoint is None else _CheckpointWeights.of(module, checkpoint, names, folder)
    answered = answers(module, inputs)  # first, because an export may change the module's caches
    later = next_sample(inputs[0], answered[0].outputs) if answered[0].later else inputs[0]
    layered = export(module, inputs[0], later if signature(later) != signature(inputs[0]) else None)
    specs, weights_sha256 = _store_weights(folder, layered, external.specs.keys(), progress)
    external = external.behind((folder / WEIGHTS).stat().st_size)
    stored_samples, samples_sha256 = _store_samples(folder, inputs, answered, layered)
    network = Network(
        name,
        _layers(layered, {**external.specs, **specs}),
        layered.inputs,
        layered.outputs,
        stored_samples,
        weights_sha256,
        samples_sha256,
        checkpoint_files=external.files,
        nest=nest_of(inputs[0], torch.is_tensor),
        tolerance=tolerance_of(layered.dtypes) if tolerance is None else tolerance,
        feeds=layered.feeds,
        buffers=tuple(layered.buffers),
        freed_bytes=layered.freed_bytes,
        arguments=arguments(inputs[0]),
        first_outputs=layered.first_outputs,
    )
    return write_graph(folder, network)


def _store_weights(
    folder: Path, module: LayeredModule, external: Container[str], progress: Callable[[int, int], None]
) -> tuple[dict[str, TensorSpec], str]:
    """Write the weights in execution order, except the `external` ones; return where they are, and the SHA-256."""
    weights: dict[str, torch.Tensor] = {}
    for layer in module.layers:
        # Wider types first, so that every tensor is aligned to its own size, as the format requires.
        weights.update(sorted(layer.weights.items(), key=lambda item: -item[1].element_size()))
    stored = {name: tensor for name, tensor in weights.items() if name not in external}
    for name, tensor in stored.items():
        check_type(name, tensor)
    total_bytes, done_bytes = sum(tensor.nbytes for tensor in stored.values()), 0

    def advance(written_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += written_bytes
        progress(done_bytes, total_bytes)

    return write_tensors(folder / WEIGHTS, _OneByOne(stored), advance)


def _layers(module: LayeredModule, specs: Mapping[str, TensorSpec]) -> tuple[Layer, ...]:
    def layer(draft: LayerDraft) -> Layer:
        return Layer(
            name=draft.name,
            kind=draft.kind,
            weights=tuple(sorted((specs[weight] for weight in draft.weights), key=lambda spec: spec.offset)),
            ops=tuple(draft.ops),
            activation_bytes=draft.activation_bytes,
            live_out_bytes=draft.live_out_bytes,
            flops=draft.flops,
            row_cut=draft.row_cut,
            first=None if draft.first is None else _first_step(draft.first),
        )

    return tuple(map(layer, module.layers))


def _first_step(draft: LayerDraft) -> FirstStep:
    return FirstStep(tuple(draft.ops), draft.activation_bytes, draft.live_out_bytes, draft.flops, draft.row_cut)


def _store_samples(
    folder: Path, samples: Sequence[Inputs], answered: Sequence[SampleAnswer], module: LayeredModule
) -> tuple[tuple[Sample, ...], str]:
    """Write the samples and plain PyTorch's answers to them; return where they are, and the SHA-256.

    Inputs that are zero everywhere are not written: reading the zeros of an empty cache would take time.
    """
    groups: list[list[list[tuple[TensorSpec, memoryview]]]] = []
    for index, (sample, answer) in enumerate(zip(samples, answered, strict=True)):
        named = {
            "input": [*tensors_in((sample.args, sample.kwargs)), *module.buffers.values()],
            "output": answer.outputs,
            "noise": [answer.noise],
            "later": answer.later,
        }
        groups.append(
            [[spec_and_bytes(f"{index}.{name}.{i}", each) for i, each in enumerate(own)] for name, own in named.items()]
        )
    zeros = {spec.name for inputs, *_ in groups for spec, data in inputs if _is_zero(data)}
    pairs = [pair for sample in groups for own in sample for pair in own]
    specs, digest = write_tensors(folder / SAMPLES, [(spec, data) for spec, data in pairs if spec.name not in zeros])

    def stored(sample: list[list[tuple[TensorSpec, memoryview]]]) -> Sample:
        inputs, outputs, (noise,), later = (tuple(specs.get(spec.name, spec) for spec, _ in own) for own in sample)
        return Sample(inputs, outputs, noise, later, tuple(i for i, s in enumerate(inputs) if s.name in zeros))

    return tuple(map(stored, groups)), digest


def _is_zero(data: memoryview) -> bool:
    """Return whether all bytes are zero; False for less than a page, which costs nothing to read."""
    return len(data) >= PAGE and not torch.frombuffer(data, dtype=torch.uint8).any()
