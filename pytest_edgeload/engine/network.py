"""A stored network that is open: its tiles can be loaded, its layers executed, and its samples read. Imports torch."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.engine.compare import Deviation, compare
from pytest_edgeload.engine.layout import may_be_channels_last
from pytest_edgeload.engine.readers import Reader
from pytest_edgeload.engine.readers.read import ReadReader
from pytest_edgeload.engine.tied import TiedTensors
from pytest_edgeload.engine.tiles import ROW_NUMBERS, CompiledLayer, TileTensors
from pytest_edgeload.engine.weight_files import open_weights
from pytest_edgeload.networks.compressed import PLAIN, StoreForm
from pytest_edgeload.networks.folder import read_graph, samples_path
from pytest_edgeload.networks.layer import Layer, Sample, TensorSpec, weight_stretches
from pytest_edgeload.networks.tile import WHOLE, RowRange, Tile, find_tiling, pages_bytes, specs
from pytest_edgeload.planning.plan import WeightKey
from pytest_edgeload.tensors import dtype_of, tensor_in

_IMAGE_NDIM = 4  # batch, channels, height, width


class OpenNetwork:
    """A stored network with compiled layers and open files, and no weights in memory."""

    def __init__(self, folder: Path, reader: str, store: StoreForm = PLAIN) -> None:
        self.network = read_graph(folder)
        layers = self.network.layers
        self.layers = [CompiledLayer(layer) for layer in layers]
        firsts = [None if layer.first is None else CompiledLayer(layer.in_first_step) for layer in layers]
        self.first_layers = [first or later for first, later in zip(firsts, self.layers, strict=True)]
        self.weights = open_weights(reader, folder, self.network, store)
        self._samples = ReadReader(samples_path(folder))
        self._finalizer = weakref.finalize(self, _close, self.weights, self._samples)
        self._is_channels_last = may_be_channels_last(self.network)

    def load(self, layer: Layer, tile: Tile = WHOLE, into: memoryview | None = None) -> TileTensors:
        """Return the weights of a tile as views of `into`, or of memory that is released with the last view."""
        return self.read(specs(layer, tile), into)

    def load_whole(self, layer: Layer, key: WeightKey, tied: TiedTensors) -> TileTensors:
        """Return the weights of a layer for the load `key`; those that other layers share are held once, in `tied`."""
        shared = self.shared(layer)
        own = self.read([weight for weight in layer.weights if weight not in shared])
        return {**own, **tied.load(key, shared, self.read)}

    def shared(self, layer: Layer) -> list[TensorSpec]:
        """Return the weights of a layer that other layers share."""
        return [weight for weight in layer.weights if weight in self.network.tied_weights]

    def read(self, weights: Sequence[TensorSpec], into: memoryview | None = None) -> TileTensors:
        """Return `weights`; those that follow each other in the file are views of the same memory, see `load`."""
        tensors = {spec.name: tensor_in(None, spec) for spec in weights if not spec.size_bytes}
        for offset, size_bytes in weight_stretches(weights):
            memory = self.weights.read(offset, size_bytes, into)
            for spec in weights:
                if offset <= spec.offset < offset + size_bytes and spec.size_bytes:
                    tensors[spec.name] = tensor_in(memory, spec, spec.offset - offset)
            if into is not None:
                into = into[pages_bytes(offset, size_bytes) :]
        return tensors

    def load_requested(self, layer: Layer, values: Mapping[str, Any]) -> TileTensors:
        """Return the weights of an embedding with only the rows that `values` look up.

        Raises IndexError if the embedding does not have one of them.
        """
        cut = find_tiling(layer)
        assert cut is not None  # a plan has such a tile only for an embedding
        assert cut.ids is not None
        row_numbers = torch.unique(values[cut.ids])
        numbers = row_numbers.tolist()
        if numbers and not 0 <= numbers[0] <= numbers[-1] < cut.rows:
            lookup = f"rows {numbers[0]} to {numbers[-1]} are looked up"
            raise IndexError(f"{layer.name}: {lookup}, but the table has {cut.rows} rows")
        rows = {w.name: torch.empty((len(numbers), *w.shape[1:]), dtype=dtype_of(w)) for w in cut.weights}
        position = 0
        for first, last in _ranges(numbers):
            for spec in cut.slices((first, last)):
                rows[spec.name][position : position + last - first] = _read(self.weights, spec)
            position += last - first
        # a token loop waits for these reads, behind large ones of other lanes: neighbours in the file are read at once
        return {**self.read(cut.others(layer)), **rows, ROW_NUMBERS: row_numbers}

    def close(self) -> None:
        """Close the files; nothing is read any more."""
        self._finalizer()

    def drop(self, weights: Iterable[TensorSpec]) -> None:
        """Release `weights`; the caller holds no reference to them."""
        for offset, size_bytes in weight_stretches(weights):
            self.weights.drop(offset, size_bytes)

    def sample(self, index: int) -> Sample:
        """Return the sample with this index; indices wrap around."""
        return self.network.samples[index % len(self.network.samples)]

    def inputs(self, sample: int) -> dict[str, torch.Tensor]:
        """Return the inputs of a sample by name, with images in the layout channels last if the network allows it.

        Convolutions compute in that layout; they would otherwise convert each image and convert their outputs back.
        """
        return self._by_name(self._inputs(self.sample(sample)))

    def inputs_of(self, own: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return inputs by name, as `inputs` does: `own` of a caller, and the initial values of buffers.

        Those that the steps of a request may overwrite are copies.
        """
        copies = [tensor.clone() if i in self.network.state else tensor for i, tensor in enumerate(own)]
        return self._by_name([*copies, *self._inputs(self.sample(0), len(own))])

    def _by_name(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        if self._is_channels_last:
            tensors = [_channels_last(tensor) for tensor in tensors]
        return dict(zip(self.network.inputs, tensors, strict=True))

    def own_inputs(self, sample: int) -> list[torch.Tensor]:
        """Return the inputs of a sample that the module takes, without its buffers."""
        return self._inputs(self.sample(sample))[: len(self.network.own_inputs)]

    def buffers(self, sample: int) -> dict[str, torch.Tensor]:
        """Return the initial values of the buffers that the module changes, by their names in it."""
        values = self._inputs(self.sample(sample))[len(self.network.own_inputs) :]
        return dict(zip(self.network.buffers, values, strict=True))

    def _inputs(self, sample: Sample, first: int = 0) -> list[torch.Tensor]:
        """Return the inputs of a sample from the `first` on. Zeros get memory when they are first written to."""
        return [
            torch.zeros(spec.shape, dtype=dtype_of(spec)) if i in sample.zeros else _read(self._samples, spec)
            for i, spec in enumerate(sample.inputs)
            if i >= first
        ]

    def compare(self, outputs: Sequence[torch.Tensor], sample: int) -> Deviation:
        """Return how far `outputs` are from plain PyTorch's for a sample."""
        stored = self.sample(sample)
        noise = [] if stored.noise is None else self.tensors((stored.noise,))[0].tolist()
        return compare(outputs, self.tensors(stored.outputs), self.network.tolerance, noise)

    def compare_with(self, outputs: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> Deviation:
        """Return how far `outputs` are from `expected`."""
        return compare(outputs, expected, self.network.tolerance)

    def tensors(self, specs: tuple[TensorSpec, ...]) -> list[torch.Tensor]:
        """Return tensors from the samples file."""
        return [_read(self._samples, spec) for spec in specs]


def _read(reader: Reader, spec: TensorSpec) -> torch.Tensor:
    return tensor_in(reader.read(spec.offset, spec.size_bytes) if spec.size_bytes else None, spec)


def _close(*readers: Reader) -> None:
    for reader in readers:
        reader.close()


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == _IMAGE_NDIM else tensor


def _ranges(numbers: Sequence[int]) -> Iterator[RowRange]:
    """Yield sorted row numbers as ranges without gaps."""
    first = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[first], numbers[i - 1] + 1
            first = i
