"""The folder of one network: its files are written once, read, and compared with their digests. Never imports torch.

graph.json            the layers; its SHA-256 is the name of the folder
weights.safetensors   the weights in execution order, except those read from a checkpoint
samples.safetensors   example inputs, and plain PyTorch's outputs for them
converted/<key>/      the network's files for a program; the key covers the converter and versions
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from pytest_edgeload.base import arguments, decoding, files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.networks.checkpoint import check_file
from pytest_edgeload.networks.layer import DTYPES, FORMAT, Network, TensorSpec

GRAPH, WEIGHTS, SAMPLES = "graph.json", "weights.safetensors", "samples.safetensors"
_DATA_ALIGNMENT = 4096  # the first tensor begins on a page, so that direct reads can be aligned
_PADDING = "padding before "  # the name of a tensor that fills a gap begins like this
_CHUNK_BYTES = 8 << 20
MAX_GRAPH_BYTES = 1 << 26  # the graph of a thousand layers has half a million bytes
_MAP_NORESERVE = 0x4000  # in the mmap module since Python 3.13


class DamagedNetwork(Refusal):
    """A file of a stored network is missing, or has other bytes than were written; the message names it."""


class _Version(msgspec.Struct):
    """The format of a graph file."""

    format: int = FORMAT


def write_tensors(
    path: Path, tensors: Iterable[tuple[TensorSpec, memoryview]], progress: Callable[[int], None] = lambda _: None
) -> tuple[dict[str, TensorSpec], str]:
    """Write `tensors` in their order as a safetensors file; return their specs with offsets, and the SHA-256.

    Each tensor is aligned to its type, so that a worker need not copy it. `tensors` are gone through twice, and each is
    released after its use. `progress` is called with the bytes of each piece written. Raises ValueError for a type that
    the format lacks.
    Format: https://github.com/huggingface/safetensors#format
    """
    head, specs = _header([spec for spec, _ in tensors])
    digest = hashlib.sha256(head)
    with files.naming(path), files.create(path, files.OURS) as file:
        file.write(head)
        for spec, data in tensors:
            if gap_bytes := specs[spec.name].offset - file.tell():
                file.write(bytes(gap_bytes))
                digest.update(bytes(gap_bytes))
            for begin in range(0, len(data), _CHUNK_BYTES):
                piece = data[begin : begin + _CHUNK_BYTES]
                file.write(piece)
                digest.update(piece)
                progress(len(piece))
        file.flush()
        os.fsync(file.fileno())  # dirty pages could not be dropped from the page cache before a run
    return specs, digest.hexdigest()


def _header(tensors: Sequence[TensorSpec]) -> tuple[bytes, dict[str, TensorSpec]]:
    """Return the bytes before the data of a safetensors file, and the tensors by name with their offsets in it."""
    end = 0
    header: dict[str, object] = {}
    offsets: dict[str, int] = {}
    for spec in tensors:
        if spec.dtype not in DTYPES:
            raise ValueError(f"{spec.name} has dtype {spec.dtype}; safetensors files support {', '.join(DTYPES)}")
        if gap_bytes := -end % DTYPES[spec.dtype][1]:  # the format has no gaps, so a tensor fills it
            name, begin, end = f"{_PADDING}{spec.name}", end, end + gap_bytes
            header[name] = {"dtype": "U8", "shape": [gap_bytes], "data_offsets": [begin, end]}
        begin, end = end, end + spec.size_bytes
        header[spec.name] = {"dtype": DTYPES[spec.dtype][0], "shape": spec.shape, "data_offsets": [begin, end]}
        offsets[spec.name] = begin
    text = json.dumps(header, separators=(",", ":")).encode()
    start = -(-(8 + len(text)) // _DATA_ALIGNMENT) * _DATA_ALIGNMENT
    text = text.ljust(start - 8)
    specs = {spec.name: msgspec.structs.replace(spec, offset=start + offsets[spec.name]) for spec in tensors}
    return len(text).to_bytes(8, "little") + text, specs


def write_graph(folder: Path, network: Network) -> str:
    """Write `network` as the graph file of `folder`; return its SHA-256."""
    text = msgspec.json.encode(network)
    path = folder / GRAPH
    with files.naming(path), files.create(path, files.OURS) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(text).hexdigest()


def read_graph(folder: Path) -> Network:
    """Return the network stored in `folder` without reading its weights. Raises DamagedNetwork."""
    path = folder / GRAPH
    try:
        text = files.read(path, MAX_GRAPH_BYTES)
        version = decoding.decode(text, _Version).format  # first, because another format may lack fields of this one
        if version == FORMAT:
            return decoding.decode(text, Network)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    raise _damaged(path, f"it has format {version}, and this version reads format {FORMAT}")


def verify_network(folder: str | os.PathLike[str]) -> Network:
    """Return the network stored in `folder` after comparing every byte with its digest.

    The files of a checkpoint may be too large to be read in each session; only their size, time and header are
    compared. Raises DamagedNetwork or BadCheckpoint.
    """
    folder = Path(arguments.path("folder", folder))
    network = read_graph(folder)
    digests = {GRAPH: folder.name, WEIGHTS: network.weights_sha256, SAMPLES: network.samples_sha256}
    sizes = {name: _verified_bytes(folder / name, digest) for name, digest in digests.items()}
    for file in network.checkpoint_files:
        check_file(file)
    stray = _stray_tensor(network, sizes)
    if stray is not None:
        raise _damaged(folder / GRAPH, f"{stray} is outside the network's files")
    return network


def _verified_bytes(path: Path, expected: str) -> int:
    """Return the size of the file if its digest is the expected one. Raises DamagedNetwork."""
    try:
        with files.open_file(path) as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    if digest != expected:
        raise _damaged(path, f"its {size} bytes are not the ones that were written")
    return size


def _stray_tensor(network: Network, sizes: Mapping[str, int]) -> str | None:
    """Return the name of a tensor outside the files: a worker would read past their end or allocate any size."""
    ends = ((file.begin, file.begin + file.size_bytes) for file in network.checkpoint_files)
    weights, samples = [(0, sizes[WEIGHTS]), *ends], [(0, sizes[SAMPLES])]
    tensors = [(spec, weights) for layer in network.layers for spec in layer.weights]
    tensors += [(spec, samples) for sample in network.samples for spec in sample.tensors]
    return next((spec.name for spec, ranges in tensors if not spec.is_within(ranges)), None)


def weight_files(folder: Path) -> list[Path]:
    """Return all files that the weights of the network in `folder` are read from. Raises DamagedNetwork."""
    return [folder / WEIGHTS, *(Path(file.path) for file in read_graph(folder).checkpoint_files)]


def file_stamps(folder: Path, network: Network) -> dict[Path, object]:
    """Return the inode, size and times of each file of the network in `folder`; None for a missing file.

    This is cheap, and it changes when a file is written to or replaced: a program can set the time of the last
    modification, but not that of the last change of the inode.
    """
    stored = (folder / name for name in (GRAPH, WEIGHTS, SAMPLES))
    return {path: _stamp(path) for path in (*stored, *(Path(file.path) for file in network.checkpoint_files))}


def _stamp(path: Path) -> object:
    with suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return None


def _damaged(path: Path, reason: str) -> DamagedNetwork:
    folder = path.parent
    if _is_missing(folder):
        return DamagedNetwork(f"{folder} is gone", hint="start a new session, which makes it again")
    return DamagedNetwork(f"{path} is damaged", reason, f"delete the folder {folder}, and it is made again")


def _is_missing(folder: Path) -> bool:
    """Return whether the folder does not exist; False if only the permission to see it is missing."""
    try:
        folder.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def map_file(fd: int) -> mmap.mmap:
    """Return the mapping of a whole file. The kernel reads its pages when they are used, and may drop them.

    The mapping is private and writable because PyTorch requires writable memory. No page is ever written, so none is
    copied, and the kernel reserves no memory for it: the file may be larger than memory. Raises OSError.
    """
    flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
    return mmap.mmap(fd, os.fstat(fd).st_size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def converted_folder(network: Path, key: str) -> Path:
    """Return the folder for the files that recipe `key` makes of the network in the folder `network`."""
    return network / "converted" / key
