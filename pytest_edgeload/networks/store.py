"""Networks on disk: a content-addressed cache of folders. Never imports torch.

    networks/<digest>/graph.json            the layers; its SHA-256 is the folder's name
    networks/<digest>/weights.safetensors   all weights in execution order, but for those that stand in a checkpoint
    networks/<digest>/samples.safetensors   example inputs and plain PyTorch's outputs
    networks/<digest>/converted/<key>/      what a function, its source and the versions made of it for some program
    recipes/<key>                           the digest that a factory, its source and the versions once gave

A folder is written under a temporary name and renamed when whole, under a lock on its recipe.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from pytest_edgeload.base import decoding, files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.locks import held, silent
from pytest_edgeload.networks import checkpoint
from pytest_edgeload.networks.layer import DTYPES, FORMAT, Network, TensorSpec

GRAPH, WEIGHTS, SAMPLES = "graph.json", "weights.safetensors", "samples.safetensors"
_DATA_ALIGNMENT = 4096  # the first tensor starts on a page, so that direct reads can be aligned
_CHUNK = 8 << 20
_MOST_OF_GRAPH, _MOST_OF_NOTE = 1 << 26, 1 << 10  # bytes; a network of a thousand layers has half a million
_DIGEST = re.compile(r"\w+", re.ASCII)  # no path
_MAP_NORESERVE = 0x4000  # which the mmap module does not know before Python 3.13


class DamagedNetwork(Refusal):
    """A stored network is not what was written; the message says which file and what to do."""


class Unwritable(Refusal):
    """The store cannot be written: its disk is full, say; the message says where and what to do."""


class _Version(msgspec.Struct):
    """The format of a graph file."""

    format: int = FORMAT


def write_tensors(
    path: Path, tensors: Sequence[tuple[TensorSpec, memoryview]], progress: Callable[[int], None] = lambda _: None
) -> tuple[dict[str, TensorSpec], str]:
    """Write `tensors` in the given order as a safetensors file; return their specs with offsets, and the SHA-256.

    `progress` is told the bytes of each piece written. Format: https://github.com/huggingface/safetensors#format
    """
    position = 0
    header: dict[str, object] = {}
    for spec, _ in tensors:
        if spec.dtype not in DTYPES:
            raise ValueError(f"{spec.name} is of dtype {spec.dtype}; safetensors files hold {', '.join(DTYPES)}")
        end = position + spec.size_bytes
        header[spec.name] = {"dtype": DTYPES[spec.dtype][0], "shape": spec.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    start = -(-(8 + len(text)) // _DATA_ALIGNMENT) * _DATA_ALIGNMENT
    text = text.ljust(start - 8)
    digest = hashlib.sha256()
    specs: dict[str, TensorSpec] = {}
    with files.naming(path), files.new(path, files.OURS) as file:
        for part in (len(text).to_bytes(8, "little"), text):
            file.write(part)
            digest.update(part)
        offset = start
        for spec, data in tensors:
            specs[spec.name] = msgspec.structs.replace(spec, offset=offset)
            offset += spec.size_bytes
            for begin in range(0, len(data), _CHUNK):
                piece = data[begin : begin + _CHUNK]
                file.write(piece)
                digest.update(piece)
                progress(len(piece))
        file.flush()
        os.fsync(file.fileno())  # dirty pages could not be dropped from the page cache before a run
    return specs, digest.hexdigest()


def write_graph(folder: Path, network: Network) -> str:
    """Write `network` as the graph file of `folder`; return its SHA-256."""
    text = msgspec.json.encode(network)
    path = folder / GRAPH
    with files.naming(path), files.new(path, files.OURS) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(text).hexdigest()


def read_graph(folder: Path) -> Network:
    """Return the network stored in `folder`, without looking at its weights. Raises DamagedNetwork."""
    path = folder / GRAPH
    try:
        text = files.read(path, _MOST_OF_GRAPH)
        version = decoding.decode(text, _Version).format  # alone, as another format may lack fields of this one
        if version == FORMAT:
            return decoding.decode(text, Network)
    except OSError as error:
        raise DamagedNetwork(_damage(path, error.strerror or str(error))) from error
    except ValueError as error:
        raise DamagedNetwork(_damage(path, str(error))) from error
    raise DamagedNetwork(_damage(path, f"it has format {version}, and this version reads format {FORMAT}"))


def verify_network(folder: Path) -> Network:
    """Return the network stored in `folder` after comparing every byte with its digest.

    Files of a checkpoint are told by size, time and header alone: they may be too large to be read in each session.
    Raises DamagedNetwork or `checkpoint.BadCheckpoint`.
    """
    network = read_graph(folder)
    expected = {GRAPH: folder.name, WEIGHTS: network.weights_sha256, SAMPLES: network.samples_sha256}
    sizes = {name: _verified(folder / name, digest) for name, digest in expected.items()}
    for part in network.checkpoint_files:
        checkpoint.check(part)
    stray = _stray(network, sizes)
    if stray is not None:
        raise DamagedNetwork(_damage(folder / GRAPH, f"{stray} stands in none of the network's files"))
    return network


def _verified(path: Path, digest: str) -> int:
    """Return the bytes of a file that has this digest. Raises DamagedNetwork."""
    try:
        with files.opened(path) as file:
            found, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise DamagedNetwork(_damage(path, error.strerror or str(error))) from error
    if found != digest:
        raise DamagedNetwork(_damage(path, f"its {size} bytes are not the ones that were written"))
    return size


def _stray(network: Network, sizes: Mapping[str, int]) -> str | None:
    """Return the name of a tensor that is not wholly in a file: a worker would read past it, or ask for any memory."""
    weights = [(0, sizes[WEIGHTS]), *((part.begin, part.begin + part.size_bytes) for part in network.checkpoint_files)]
    samples = [(0, sizes[SAMPLES])]
    stand = [(spec, weights) for layer in network.layers for spec in layer.weights]
    stand += [(spec, samples) for sample in network.samples for spec in (*sample.inputs, *sample.outputs)]
    return next((spec.name for spec, places in stand if not spec.is_within(places)), None)


def weight_files(folder: Path) -> list[Path]:
    """Return all files that the weights of the network in `folder` are read from. Raises DamagedNetwork."""
    return [folder / WEIGHTS, *(Path(part.path) for part in read_graph(folder).checkpoint_files)]


def stamps(folder: Path, network: Network) -> dict[Path, object]:
    """Return what stat(2) tells of each file of the network in `folder`, None of one that is gone.

    It costs nothing, and changes with whatever is written to a file or put in its place: who may set the time of the
    last change cannot set that of the inode.
    """
    stored = (folder / name for name in (GRAPH, WEIGHTS, SAMPLES))
    return {path: _stamp(path) for path in (*stored, *(Path(part.path) for part in network.checkpoint_files))}


def _stamp(path: Path) -> object:
    with suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return None


def _damage(path: Path, what: str) -> str:
    if _is_gone(path.parent):
        return f"{path.parent} is gone; start the session anew and it is made anew"
    return f"{path} is damaged: {what}; delete the folder {path.parent} and it is made anew"


def _is_gone(folder: Path) -> bool:
    """Tell whether nothing is there, rather than nothing that may be seen."""
    try:
        folder.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def mapped(fd: int) -> mmap.mmap:
    """Return the mapping of a whole file, whose pages the kernel fetches when they are used and may drop.

    Private, for PyTorch wants memory that it may write to; nobody does, so no page is ever copied, and the kernel need
    not promise memory for any: a file may be larger than that. Raises OSError.
    """
    flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
    return mmap.mmap(fd, os.fstat(fd).st_size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)


class Store:
    """The cache folder: which network a recipe gave, and where it stands."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Path | None:
        """Return the folder of the network that the recipe `key` gave, None where it is not made yet.

        Raises Unwritable for a store that is no folder.
        """
        try:
            digest = files.read(self.root / "recipes" / key, _MOST_OF_NOTE).decode().strip()
        except NotADirectoryError as error:
            raise Unwritable(str(self.root), error.strerror or "cannot be written", files.cache_hint(error)) from error
        except (OSError, UnicodeDecodeError):
            return None
        folder = self.root / "networks" / digest
        return folder if _DIGEST.fullmatch(digest) and os.path.isdir(folder) else None  # noqa: PTH112  # it never raises

    @contextmanager
    def making(self, key: str, waits: Callable[[str], None] = silent) -> Iterator[Path]:
        """Hold the lock of recipe `key` and give an empty folder to write the network into.

        The caller renames it by `keep`; what is left of it afterwards, or of a maker that was killed, is removed.
        `waits` is told who holds the lock, where that takes long. Raises Unwritable.
        """
        folder = self.root / "networks" / f".making-{key}"
        try:
            for name in ("recipes", "networks"):
                files.make(self.root / name)
            with held(self.root / "recipes" / f"{key}.lock", waits):
                self._remove_leftovers()
                shutil.rmtree(folder, ignore_errors=True)
                try:
                    folder.mkdir(mode=0o755)
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            if not self._is_ours(error):
                raise
            raise Unwritable(str(self.root), error.strerror or "cannot be written", files.cache_hint(error)) from error

    def _is_ours(self, error: OSError) -> bool:
        """Tell whether an error is about a file of the store, and not about one of whoever makes the network."""
        return isinstance(error.filename, str) and Path(error.filename).is_relative_to(self.root)

    def _remove_leftovers(self) -> None:
        """Remove what makers of other recipes left that were killed: those that live hold their locks."""
        for left in (self.root / "networks").glob(".making-*"):
            lock = FileLock(
                self.root / "recipes" / f"{left.name.removeprefix('.making-')}.lock", blocking=False, mode=files.OURS
            )
            with suppress(Timeout), lock:
                shutil.rmtree(left, ignore_errors=True)

    def keep(self, key: str, folder: Path, digest: str) -> Path:
        """Put the finished `folder` under its digest and note it as what recipe `key` gives."""
        final = self.root / "networks" / digest
        try:
            folder.rename(final)
        except OSError:  # another recipe gave the same network, perhaps just now
            if not final.is_dir():
                raise
        files.write(self.root / "recipes" / key, digest.encode(), files.OURS)
        return final


def converted_folder(network: Path, key: str) -> Path:
    """Return the folder of the files that recipe `key` makes of the network in the folder `network`."""
    return network / "converted" / key


def recipe_key(factory: str, sources: Iterable[Path], versions: Iterable[str]) -> str:
    """Return the key of what `factory` makes: it changes with the text of `sources` and with `versions`."""
    digest = hashlib.sha256(factory.encode())
    for part in versions:
        digest.update(b"\0" + part.encode())
    for source in sorted(sources):
        digest.update(b"\0" + source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:32]
