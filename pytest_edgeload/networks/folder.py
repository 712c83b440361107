"""The folder of one network: its files are written once, read, and compared with their digests. Never imports torch.

graph.json            the layers; its SHA-256 is the name of the folder
weights.safetensors   the weights in execution order, except those read from a checkpoint
samples.safetensors   example inputs, and plain PyTorch's outputs for them
converted/<key>/      the network's files for a program; the key covers the converter and versions
"""

from __future__ import annotations

import hashlib
import mmap
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from pytest_edgeload.base import arguments, files
from pytest_edgeload.networks.checkpoint import check_file
from pytest_edgeload.networks.edgenet import is_edgenet, plain_bytes, read_edgenet, verify_edgenet
from pytest_edgeload.networks.layer import Network, decode_graph
from pytest_edgeload.networks.tensor_file import DamagedNetwork

GRAPH, WEIGHTS, SAMPLES = "graph.json", "weights.safetensors", "samples.safetensors"
MAX_GRAPH_BYTES = 1 << 26  # the graph of a thousand layers has half a million bytes
_MAP_NORESERVE = 0x4000  # in the mmap module since Python 3.13


def write_graph(folder: Path, network: Network) -> str:
    """Write `network` as the graph file of `folder`; return its SHA-256."""
    text = msgspec.json.encode(network)
    path = folder / GRAPH
    with files.naming(path), files.create(path, files.OURS) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(text).hexdigest()


def weights_path(stored: Path) -> Path:
    """Return the file of the weights that are not in a checkpoint. `stored` is a network's folder or .edgenet file."""
    return stored if is_edgenet(stored) else stored / WEIGHTS


def samples_path(stored: Path) -> Path:
    """Return the file of the samples."""
    return stored if is_edgenet(stored) else stored / SAMPLES


def read_graph(stored: Path) -> Network:
    """Return a network, in a folder or an .edgenet file, without reading its weights. Raises DamagedNetwork."""
    if is_edgenet(stored):
        return read_edgenet(stored)
    path = stored / GRAPH
    try:
        return decode_graph(files.read(path, MAX_GRAPH_BYTES))
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def verify_network(folder: str | os.PathLike[str]) -> Network:
    """Return the network in `folder`, or in an .edgenet file, after comparing every byte with its digest.

    The files of a checkpoint may be too large to be read in each session; only their size, time and header are
    compared. Raises DamagedNetwork or BadCheckpoint.
    """
    stored = Path(arguments.path("folder", folder))
    network = verify_edgenet(stored) if is_edgenet(stored) else _verify_folder(stored)
    restored_bytes = plain_bytes(stored) if is_edgenet(stored) else None
    weights_bytes = weights_path(stored).stat().st_size if restored_bytes is None else restored_bytes
    stray = _stray_tensor(network, weights_bytes, samples_path(stored).stat().st_size)
    if stray is not None:
        raise _damaged(stored / GRAPH, f"{stray} is outside the network's files")
    return network


def _verify_folder(folder: Path) -> Network:
    network = read_graph(folder)
    digests = {GRAPH: folder.name, WEIGHTS: network.weights_sha256, SAMPLES: network.samples_sha256}
    for name, digest in digests.items():
        _compare(folder / name, digest)
    for file in network.checkpoint_files:
        check_file(file)
    return network


def _compare(path: Path, expected: str) -> None:
    """Raise DamagedNetwork unless the digest of the file is the expected one."""
    try:
        with files.open_file(path) as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    if digest != expected:
        raise _damaged(path, f"its {size} bytes are not the ones that were written")


def _stray_tensor(network: Network, weights_bytes: int, samples_bytes: int) -> str | None:
    """Return the name of a tensor outside the files: a worker would read past their end or allocate any size."""
    ends = ((file.begin, file.begin + file.size_bytes) for file in network.checkpoint_files)
    weights, samples = [(0, weights_bytes), *ends], [(0, samples_bytes)]
    tensors = [(spec, weights) for layer in network.layers for spec in layer.weights]
    tensors += [(spec, samples) for sample in network.samples for spec in sample.tensors]
    return next((spec.name for spec, ranges in tensors if not spec.is_within(ranges)), None)


def weight_files(stored: Path) -> list[Path]:
    """Return all files that the weights of a network are read from. Raises DamagedNetwork."""
    return [weights_path(stored), *(Path(file.path) for file in read_graph(stored).checkpoint_files)]


def file_stamps(stored: Path, network: Network) -> dict[Path, object]:
    """Return the inode, size and times of each file of a network; None for a missing file.

    This is cheap, and it changes when a file is written to or replaced: a program can set the time of the last
    modification, but not that of the last change of the inode.
    """
    own = [stored] if is_edgenet(stored) else [stored / name for name in (GRAPH, WEIGHTS, SAMPLES)]
    return {path: _stamp(path) for path in (*own, *(Path(file.path) for file in network.checkpoint_files))}


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
