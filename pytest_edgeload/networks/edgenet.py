"""The file of one network, which can be copied to another machine. Never imports torch.

An .edgenet file is a safetensors file. Its tensors are the weights in execution order and then the samples. Its
metadata are the graph, the SHA-256 of the graph, and the size of the data. In the graph, offsets count from the first
byte of the data, and both digests are the SHA-256 of the data.

If the weights are compressed, the tensors are the samples, the blocks of the weights, and the index of the blocks: the
size of each as four bytes, and then the bytes of one number in each. The metadata have the size of the weights that the
blocks restore, and the offsets of weights in the graph count from their first byte.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base import decoding, files
from pytest_edgeload.networks.layer import Network, TensorSpec, decode_graph
from pytest_edgeload.networks.tensor_file import CHUNK_BYTES, DamagedNetwork

SUFFIX = ".edgenet"
_MAX_HEAD_BYTES = 100_000_000  # the limit of safetensors itself
_AGAIN = "copy it again, or store the network again"


class Metadata(msgspec.Struct, omit_defaults=True):
    """The metadata of the file; the format has no other values than texts.

    `plain_bytes` is the size of the weights without compression, empty if they are not compressed; the digest of the
    graph covers it.
    """

    graph: str
    graph_sha256: str
    data_bytes: str
    plain_bytes: str = ""

    @classmethod
    def of(cls, network: Network, data_bytes: int, plain_bytes: str = "") -> Metadata:
        """Return the metadata of a network."""
        graph = msgspec.json.encode(network).decode()
        return cls(graph, _digest(graph, plain_bytes), str(data_bytes), plain_bytes)


def _digest(graph: str, plain_bytes: str) -> str:
    return hashlib.sha256((graph + plain_bytes).encode()).hexdigest()


class _Header(msgspec.Struct, rename={"metadata": "__metadata__"}):
    metadata: Metadata


class _Opened(NamedTuple):
    """A network with offsets in its file, the first byte of the data, and the restored size of compressed weights."""

    network: Network
    begin: int
    plain_bytes: int | None


def is_edgenet(path: Path | str) -> bool:
    """Return whether a path is that of an .edgenet file rather than a folder."""
    return str(path).endswith(SUFFIX)


def read_edgenet(path: Path) -> Network:
    """Return the network in the file without reading its weights. Raises DamagedNetwork."""
    return _open(path).network


def plain_bytes(path: Path) -> int | None:
    """Return the size that the compressed weights in the file have when they are restored; None for plain weights.

    Raises DamagedNetwork.
    """
    return _open(path).plain_bytes


def verify_edgenet(path: Path) -> Network:
    """Return the network in the file after comparing every byte with its digest. Raises DamagedNetwork."""
    network, begin, _ = _open(path)
    digest = hashlib.sha256()
    try:
        with files.open_file(path) as file:
            file.seek(begin)
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
    except OSError as error:
        raise DamagedNetwork(str(path), error.strerror or str(error), _AGAIN) from error
    if digest.hexdigest() != network.weights_sha256:
        raise damaged_edgenet(path, "its bytes are not the ones that were written")
    return network


def damaged_edgenet(path: Path, reason: str) -> DamagedNetwork:
    """Return the error for a file that has changed."""
    return DamagedNetwork(f"{path} is damaged", reason, _AGAIN)


def with_specs(
    network: Network, weight: Callable[[TensorSpec], TensorSpec], sample: Callable[[TensorSpec], TensorSpec]
) -> Network:
    """Return `network` with every spec of a weight, and of a tensor of a sample, replaced."""
    replace = msgspec.structs.replace
    layers = (
        replace(layer, weights=tuple(sorted(map(weight, layer.weights), key=lambda spec: spec.offset)))
        for layer in network.layers
    )
    samples = (
        replace(
            each,
            inputs=tuple(map(sample, each.inputs)),
            outputs=tuple(map(sample, each.outputs)),
            noise=None if each.noise is None else sample(each.noise),
            later=tuple(map(sample, each.later)),
        )
        for each in network.samples
    )
    return replace(network, layers=tuple(layers), samples=tuple(samples))


def _open(path: Path) -> _Opened:
    try:
        with files.open_file(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            head_bytes = 8 + int.from_bytes(file.read(8), "little")
            head = file.read(head_bytes - 8) if head_bytes <= min(size_bytes, _MAX_HEAD_BYTES) else b""
    except OSError as error:
        raise DamagedNetwork(str(path), error.strerror or str(error), f"name an existing {SUFFIX} file") from error
    try:
        metadata = decoding.decode(head, _Header).metadata
    except ValueError as error:
        raise DamagedNetwork(str(path), f"not an {SUFFIX} file, or its header is damaged", _AGAIN) from error
    if _digest(metadata.graph, metadata.plain_bytes) != metadata.graph_sha256:
        raise damaged_edgenet(path, "its graph is not the one that was written")
    try:
        network = msgspec.structs.replace(decode_graph(metadata.graph), checkpoint_files=())  # it names no other file
        restored_bytes = int(metadata.plain_bytes) if metadata.plain_bytes else None
    except ValueError as error:
        raise DamagedNetwork(str(path), str(error), "store the network again, with this version") from error
    if restored_bytes is not None and restored_bytes < 0:
        raise damaged_edgenet(path, f"its weights have {restored_bytes} bytes")
    if str(size_bytes - head_bytes) != metadata.data_bytes:
        reason = f"it has {size_bytes - head_bytes} bytes of data, and {metadata.data_bytes} were written"
        raise damaged_edgenet(path, reason)

    def placed(spec: TensorSpec) -> TensorSpec:
        return msgspec.structs.replace(spec, offset=spec.offset + head_bytes)

    weight = placed if restored_bytes is None else _as_it_is
    return _Opened(with_specs(network, weight, placed), head_bytes, restored_bytes)


def _as_it_is(spec: TensorSpec) -> TensorSpec:
    return spec
