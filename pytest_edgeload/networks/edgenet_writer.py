"""Writes a stored network, with the weights of its checkpoint, as one .edgenet file. Never imports torch."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.networks.edgenet import SUFFIX, Metadata, is_edgenet, with_specs
from pytest_edgeload.networks.folder import read_graph, samples_path, weights_path
from pytest_edgeload.networks.layer import Network, TensorSpec
from pytest_edgeload.networks.tensor_file import CHUNK_BYTES, DamagedNetwork, TensorLayout

_ALIGNMENT = 64  # a tensor keeps its offset modulo this, and with it its alignment and its neighbors
_NO_DIGEST = "0" * 64  # until the data are written; as long as a SHA-256


_SAMPLES = "samples/"

_Place = tuple[int, int]  # the first byte and the size; the same bytes may have several names


class _TensorSource(NamedTuple):
    """A tensor, the file that contains it now, and its first byte there."""

    spec: TensorSpec
    path: Path
    begin: int


def check_output(path: Path, *, is_replaced: bool) -> None:
    """Raise UsageError if no .edgenet file can be written at `path`."""
    try:
        _check_output(path, is_replaced=is_replaced)
    except OSError as error:
        raise UsageError(str(path), error.strerror or "cannot be written", "name another file") from error


def _check_output(path: Path, *, is_replaced: bool) -> None:
    """Do as `check_output`. Raises OSError as well, if a name is too long or a folder cannot be entered."""
    if not is_edgenet(path):
        raise UsageError(str(path), f"the name of a stored network ends in {SUFFIX}", f"try {path.name}{SUFFIX}")
    if not path.parent.is_dir():
        raise UsageError(str(path), f"there is no folder {path.parent}", "create it, or name another one")
    if _is_there(path) and not (is_replaced and path.is_file()):
        reason = "exists already" if path.is_file() else "exists already, and is not a file"
        hint = (
            ("replace it with ", Setting("force"), ", or name another file") if path.is_file() else "name another file"
        )
        raise UsageError(str(path), reason, hint)


def _is_there(path: Path) -> bool:
    """Return whether a file or a link has this name. Raises OSError if no file can have it."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def write_edgenet(path: Path, stored: Path, progress: Callable[[int, int], None] = lambda _done, _total: None) -> None:
    """Write the network in the folder or file `stored` as the file `path`, whole or not at all.

    `progress` is called with the bytes written and the total. Raises UsageError if the file cannot be written, and
    DamagedNetwork or OSError if `stored` cannot be read.
    """
    network = read_graph(stored)
    parts = _TensorSources.of(network, stored)
    layout = TensorLayout.of([part.spec for part in parts.in_order], _gap_bytes)
    packed = parts.moved(network, layout.offsets)
    head = _head(packed, layout, _NO_DIGEST)
    digest, done_bytes = hashlib.sha256(), 0
    try:
        with files.replacing(path) as file:
            file.write(head)
            for piece in _data(parts.in_order, layout):
                file.write(piece)
                digest.update(piece)
                done_bytes += len(piece)
                progress(done_bytes, layout.size_bytes)
            file.seek(0)
            file.write(_head(packed, layout, digest.hexdigest()))
            file.flush()
            os.fsync(file.fileno())  # dirty pages could not be dropped from the page cache before a run
    except OSError as error:
        if error.filename not in {None, str(path)}:
            raise  # a file of the network
        hint = "free some space, or name a file on another disk" if error.errno in files.FULL else "name another file"
        raise UsageError(str(path), error.strerror or "cannot be written", hint) from error


class _TensorSources(NamedTuple):
    """Each tensor of a network once: the weights in execution order, and the samples."""

    weights: Mapping[_Place, _TensorSource]
    samples: Mapping[_Place, _TensorSource]

    @classmethod
    def of(cls, network: Network, stored: Path) -> _TensorSources:
        """Return the tensors of the network in `stored`, and where they are."""
        begins = [0, *(file.begin for file in network.checkpoint_files)]
        paths = [weights_path(stored), *(Path(file.path) for file in network.checkpoint_files)]

        def weight(spec: TensorSpec) -> _TensorSource:
            i = bisect_right(begins, spec.offset) - 1
            return _TensorSource(spec, paths[i], spec.offset - begins[i])

        weights = {_place(spec): weight(spec) for layer in network.layers for spec in layer.weights}
        samples = [_renamed(spec) for sample in network.samples for spec in sample.tensors]
        return cls(weights, {_place(spec): _TensorSource(spec, samples_path(stored), spec.offset) for spec in samples})

    @property
    def in_order(self) -> list[_TensorSource]:
        """All tensors, as they follow each other in the file."""
        return [*self.weights.values(), *self.samples.values()]

    def moved(self, network: Network, offsets: Sequence[int]) -> Network:
        """Return `network` with `offsets`, in the order of the file, instead of its own."""
        weights = dict(zip(self.weights, offsets[: len(self.weights)], strict=True))
        samples = dict(zip(self.samples, offsets[len(self.weights) :], strict=True))
        return with_specs(
            msgspec.structs.replace(network, checkpoint_files=()),
            lambda spec: _moved(spec, weights),
            lambda spec: _moved(_renamed(spec), samples),
        )


def _place(spec: TensorSpec) -> _Place:
    return spec.offset, spec.size_bytes


def _renamed(spec: TensorSpec) -> TensorSpec:
    """Return a tensor of a sample with a name that no weight has."""
    return msgspec.structs.replace(spec, name=f"{_SAMPLES}{spec.name.removeprefix(_SAMPLES)}")


def _moved(spec: TensorSpec, offsets: Mapping[_Place, int]) -> TensorSpec:
    """Return `spec` at its new place; an input of which each byte is zero has none."""
    return msgspec.structs.replace(spec, offset=offsets.get(_place(spec), 0))


def _gap_bytes(end: int, spec: TensorSpec) -> int:
    return (spec.offset - end) % _ALIGNMENT if spec.size_bytes else 0


def _head(packed: Network, layout: TensorLayout, digest: str) -> bytes:
    network = msgspec.structs.replace(packed, weights_sha256=digest, samples_sha256=digest)
    return layout.head(msgspec.to_builtins(Metadata.of(network, layout.size_bytes)))


def _data(parts: list[_TensorSource], layout: TensorLayout) -> Iterator[bytes]:
    """Yield the data of the file in pieces. Raises OSError or DamagedNetwork if a file of the network is gone."""
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
