"""A stored network, opened: its weights by tile, its samples, its layers ready to run. Imports torch."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.engine.readers import Reader
from pytest_edgeload.engine.readers.read import ReadReader
from pytest_edgeload.engine.tiles import ASKED, CompiledLayer, TileTensors
from pytest_edgeload.engine.weight_files import open_weights
from pytest_edgeload.networks.layer import Layer, Sample, TensorSpec
from pytest_edgeload.networks.store import SAMPLES, read_graph
from pytest_edgeload.networks.tile import WHOLE, Tile, find_tiling, pages_bytes, specs, stretches
from pytest_edgeload.tensors import dtype_of, tensor_in

_IMAGE_NDIM = 4  # batch, channels, height, width


class OpenNetwork:
    """A stored network that is ready to run: its layers compiled, its files open, none of its weights in memory."""

    def __init__(self, folder: Path, reader: str) -> None:
        self.network = read_graph(folder)
        self.layers = [CompiledLayer(layer) for layer in self.network.layers]
        self.weights = open_weights(reader, folder, self.network)
        self._samples = ReadReader(folder / SAMPLES)
        weakref.finalize(self, _close, self.weights, self._samples)
        self._is_convolutional = any(layer.is_convolution for layer in self.network.layers)

    def load(self, layer: Layer, rows: Tile = WHOLE, into: memoryview | None = None) -> TileTensors:
        """Return the weights of a tile, as views into `into`, or into memory that goes back with the last of them."""
        tile = specs(layer, rows)
        weights = {spec.name: tensor_in(None, spec) for spec in tile if not spec.size_bytes}
        for offset, size_bytes in stretches(layer, rows):
            memory = self.weights.read(offset, size_bytes, into)
            for spec in tile:
                if offset <= spec.offset < offset + size_bytes and spec.size_bytes:
                    weights[spec.name] = tensor_in(memory, spec, spec.offset - offset)
            if into is not None:
                into = into[pages_bytes(offset, size_bytes) :]
        return weights

    def load_asked(self, layer: Layer, values: Mapping[str, Any]) -> TileTensors:
        """Return the weights of an embedding, with only the rows that `values` ask for. Raises IndexError."""
        cut = find_tiling(layer)
        assert cut is not None  # or nothing could be asked for
        assert cut.ids is not None
        rows = torch.unique(values[cut.ids])
        asked = rows.tolist()
        if asked and not 0 <= asked[0] <= asked[-1] < cut.rows:
            raise IndexError(f"{layer.name}: rows {asked[0]} to {asked[-1]} are asked for, of {cut.rows}")
        found = torch.empty((len(asked), *cut.weight.shape[1:]), dtype=dtype_of(cut.weight))
        position = 0
        for first, last in _runs(asked):
            spec = cut.slice((first, last))
            found[position : position + last - first] = _read(self.weights, spec)
            position += last - first
        others = {spec.name: _read(self.weights, spec) for spec in cut.others(layer)}
        return {**others, cut.weight.name: found, ASKED: rows}

    def drop(self, layer: Layer, rows: Tile) -> None:
        """Note that nobody refers to these weights any more."""
        for offset, size_bytes in stretches(layer, rows):
            self.weights.drop(offset, size_bytes)

    def sample(self, index: int) -> Sample:
        """Return the sample with this index, counted round and round."""
        return self.network.samples[index % len(self.network.samples)]

    def inputs(self, sample: int) -> dict[str, torch.Tensor]:
        """Return the inputs of the sample with this index by name; images with their channels last.

        Convolutions compute in that layout, and would otherwise bring each image into it and what they make of it back.
        """
        tensors = self.tensors(self.sample(sample).inputs)
        if self._is_convolutional:
            tensors = [_channels_last(tensor) for tensor in tensors]
        return dict(zip(self.network.inputs, tensors, strict=True))

    def tensors(self, specs: tuple[TensorSpec, ...]) -> list[torch.Tensor]:
        """Return tensors of the samples file."""
        return [_read(self._samples, spec) for spec in specs]


def _read(reader: Reader, spec: TensorSpec) -> torch.Tensor:
    return tensor_in(reader.read(spec.offset, spec.size_bytes) if spec.size_bytes else None, spec)


def _close(*readers: Reader) -> None:
    for reader in readers:
        reader.close()


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == _IMAGE_NDIM else tensor


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the numbers `rows`, which are in order, as ranges without gaps."""
    first = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i] != rows[i - 1] + 1:
            yield rows[first], rows[i - 1] + 1
            first = i
