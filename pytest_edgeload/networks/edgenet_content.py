"""The bytes of an .edgenet file: the tensors of a stored network, with plain or compressed weights. No torch."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.networks.edgenet import Metadata, with_specs
from pytest_edgeload.networks.folder import samples_path, weights_path
from pytest_edgeload.networks.layer import Network, TensorSpec
from pytest_edgeload.networks.tensor_file import CHUNK_BYTES, DamagedNetwork, TensorLayout

_ALIGNMENT = 64  # a tensor keeps its offset modulo this, and with it its alignment and its neighbors
_SAMPLES = "samples/"

_Place = tuple[int, int]  # the first byte and the size; the same bytes may have several names


class _TensorSource(NamedTuple):
    """A tensor, the file that contains it now, and its first byte there."""

    spec: TensorSpec
    path: Path
    begin: int


class TensorSources(NamedTuple):
    """Each tensor of a network once: the weights in execution order, and the samples."""

    weights: Mapping[_Place, _TensorSource]
    samples: Mapping[_Place, _TensorSource]

    @classmethod
    def of(cls, network: Network, stored: Path) -> TensorSources:
        """Return the tensors of the network in `stored`, and where they are."""
        begins = [0, *(file.begin for file in network.checkpoint_files)]
        paths = [weights_path(stored), *(Path(file.path) for file in network.checkpoint_files)]

        def weight(spec: TensorSpec) -> _TensorSource:
            i = bisect_right(begins, spec.offset) - 1
            return _TensorSource(spec, paths[i], spec.offset - begins[i])

        weights = {_place(spec): weight(spec) for layer in network.layers for spec in layer.weights}
        samples = [_renamed(spec) for sample in network.samples for spec in sample.tensors]
        return cls(weights, {_place(spec): _TensorSource(spec, samples_path(stored), spec.offset) for spec in samples})

    def moved(self, network: Network, weight_offsets: Sequence[int], sample_offsets: Sequence[int]) -> Network:
        """Return `network` with these offsets instead of its own."""
        weights = dict(zip(self.weights, weight_offsets, strict=True))
        samples = dict(zip(self.samples, sample_offsets, strict=True))
        return with_specs(
            msgspec.structs.replace(network, checkpoint_files=()),
            lambda spec: _moved(spec, weights),
            lambda spec: _moved(_renamed(spec), samples),
        )


class PlainContent:
    """The weights in execution order, and the samples."""

    def __init__(self, network: Network, sources: TensorSources) -> None:
        self._sources = [*sources.weights.values(), *sources.samples.values()]
        self._layout = _layout(self._sources)
        offsets, count = self._layout.offsets, len(sources.weights)
        self._network = sources.moved(network, offsets[:count], offsets[count:])

    @property
    def max_bytes(self) -> int:
        """The most bytes that the data can have."""
        return self._layout.size_bytes

    def head(self, digest: str) -> bytes:
        """Return the bytes before the data, whose digest is given."""
        return _head(self._network, self._layout, digest)

    def data(self) -> Iterator[bytes]:
        """Yield the data in pieces. Raises OSError or DamagedNetwork if a file of the network is gone."""
        return _data(self._sources, self._layout)


class CompressedContent:
    """The samples, the blocks of the weights, and the index of the blocks; see `networks.edgenet`."""

    def __init__(self, network: Network, sources: TensorSources) -> None:
        from pytest_edgeload.networks.compressed_blocks import block_item_bytes  # noqa: PLC0415  # imports numpy

        self._weights, self._samples = [*sources.weights.values()], [*sources.samples.values()]
        self._plain, self._before = _layout(self._weights), _layout(self._samples)
        self._network = sources.moved(network, self._plain.offsets, self._before.offsets)
        placed = (spec for layer in self._network.layers for spec in layer.weights)
        self._widths = block_item_bytes(placed, self._plain.size_bytes)
        self._sizes = array("I")  # of the blocks that have been written

    def _whole_layout(self, blocks_bytes: int) -> TensorLayout:
        """Return the places in the file if the blocks have this size."""
        from pytest_edgeload.networks.compressed_edgenet import specs_of  # noqa: PLC0415  # imports numpy

        samples, blocks = [source.spec for source in self._samples], specs_of(self._plain.size_bytes, blocks_bytes)
        return TensorLayout.of([*samples, *blocks], lambda end, spec: 0 if spec in blocks else _gap_bytes(end, spec))

    @property
    def max_bytes(self) -> int:
        """The most bytes that the data can have: no block may shrink."""
        return self._whole_layout(self._plain.size_bytes).size_bytes

    def head(self, digest: str) -> bytes:
        """Return the bytes before the data; their number does not depend on how far the data have been written."""
        largest = _head(self._network, self._whole_layout(self._plain.size_bytes), digest, self._plain.size_bytes)
        layout = self._whole_layout(sum(self._sizes))
        return _head(self._network, layout, digest, self._plain.size_bytes, len(largest))

    def data(self) -> Iterator[bytes]:
        """Yield the data in pieces. Raises OSError or DamagedNetwork if a file of the network is gone."""
        from pytest_edgeload.networks.compressed_edgenet import packed  # noqa: PLC0415  # imports numpy

        yield from _data(self._samples, self._before)
        yield from packed(_data(self._weights, self._plain), self._widths, self._sizes)
        yield self._sizes.tobytes() + self._widths


def _place(spec: TensorSpec) -> _Place:
    return spec.offset, spec.size_bytes


def _renamed(spec: TensorSpec) -> TensorSpec:
    """Return a tensor of a sample with a name that no weight has."""
    return msgspec.structs.replace(spec, name=f"{_SAMPLES}{spec.name.removeprefix(_SAMPLES)}")


def _moved(spec: TensorSpec, offsets: Mapping[_Place, int]) -> TensorSpec:
    """Return `spec` at its new place; an input of which each byte is zero has none."""
    return msgspec.structs.replace(spec, offset=offsets.get(_place(spec), 0))


def _layout(sources: Sequence[_TensorSource]) -> TensorLayout:
    return TensorLayout.of([source.spec for source in sources], _gap_bytes)


def _gap_bytes(end: int, spec: TensorSpec) -> int:
    return (spec.offset - end) % _ALIGNMENT if spec.size_bytes else 0


def _head(
    network: Network, layout: TensorLayout, digest: str, plain_bytes: int | None = None, min_bytes: int = 0
) -> bytes:
    """Return the bytes before the data, at least `min_bytes`; `plain_bytes` is the size of compressed weights."""
    network = msgspec.structs.replace(network, weights_sha256=digest, samples_sha256=digest)
    metadata = Metadata.of(network, layout.size_bytes, "" if plain_bytes is None else str(plain_bytes))
    return layout.head(msgspec.to_builtins(metadata), min_bytes)


def _data(parts: Sequence[_TensorSource], layout: TensorLayout) -> Iterator[bytes]:
    """Yield tensors in pieces. Raises OSError or DamagedNetwork if a file of the network is gone."""
    end = 0
    for part, offset in zip(parts, layout.offsets, strict=True):
        if offset > end:
            yield bytes(offset - end)
        end = offset + part.spec.size_bytes
        with files.naming(part.path), files.open_file(part.path) as file:
            file.seek(part.begin)
            for rest in range(part.spec.size_bytes, 0, -CHUNK_BYTES):
                piece = file.read(min(rest, CHUNK_BYTES))
                if len(piece) < min(rest, CHUNK_BYTES):
                    raise DamagedNetwork(str(part.path), "it has become shorter", "start again")
                yield piece
