"""The compressed copy of a stored network: made once, in its folder, and compared with its digest. Never imports torch.

compressed-1/         next to the network's own files; the number is the version of the format
    0.blocks          the weights of weights.safetensors, and 1.blocks, ... those of the files of a checkpoint
    0.json            the index of 0.blocks
"""

from __future__ import annotations

import hashlib
import os
import shutil
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from pytest_edgeload.base import decoding, files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.locks import hold
from pytest_edgeload.networks.edgenet import damaged_edgenet, is_edgenet, plain_bytes
from pytest_edgeload.networks.folder import weight_files
from pytest_edgeload.networks.layer import Network, TensorSpec
from pytest_edgeload.networks.tensor_file import DamagedNetwork
from pytest_edgeload.networks.tile import required_stretches

if TYPE_CHECKING:
    from pytest_edgeload.networks.compressed_blocks import BlockIndex

StoreForm = Literal["plain", "compressed"]
"""The form in which the weights of a network are stored."""

PLAIN: StoreForm = "plain"
COMPRESSED: StoreForm = "compressed"
STORES: tuple[StoreForm, ...] = (PLAIN, COMPRESSED)

_MAX_INDEX_BYTES = 1 << 28

SCRATCH_BYTES = 6 << 20
"""Left out of a budget for compressed weights: the library, and a piece of stored bytes for each of three lanes."""


class CannotCompress(Refusal):
    """The compressed copy of a network cannot be written; the message names the folder."""


ShowBytes = Callable[[int, int], None]
"""Shows the bytes done and the bytes in total."""


def read_weight_files(folder: Path, store: StoreForm) -> list[Path]:
    """Return all files that the weights of the network in `folder` are read from. Raises DamagedNetwork."""
    plain = weight_files(folder)
    return plain if store == PLAIN else [blocks_file(folder, i) for i in range(len(plain))]


def blocks_file(folder: Path, file: int) -> Path:
    """Return the file of blocks of the weights file with this number."""
    return folder if is_edgenet(folder) else compressed_folder(folder) / f"{file}.blocks"


def compressed_folder(folder: Path) -> Path:
    """Return the folder of the compressed copy of the network in `folder`."""
    return folder / "compressed-1"


def compress_network(folder: Path, network: Network, show: ShowBytes) -> None:
    """Make the compressed copy of the network in `folder` unless it is there.

    Raises CannotCompress if a file cannot be written.
    """
    copy = compressed_folder(folder)
    if copy.is_dir():
        return
    made = folder / ".compressing"
    try:
        with hold(folder / ".compressing.lock"):
            shutil.rmtree(made, ignore_errors=True)  # of a process that was killed
            if copy.is_dir():  # another process may have made it while this one waited for the lock
                return
            try:
                made.mkdir(mode=0o755)
                _write_copy(folder, network, made, show)
                made.rename(copy)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        reason = f"no compressed copy can be written: {error.strerror or error}"
        raise CannotCompress(str(folder), reason, files.cache_hint(error)) from error


def _write_copy(folder: Path, network: Network, made: Path, show: ShowBytes) -> None:
    """Write the blocks and the index of every weights file into the folder `made`."""
    plain = weight_files(folder)
    total_bytes = sum(path.stat().st_size for path in plain)
    done_bytes = 0

    def advance(size_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += size_bytes
        show(done_bytes, total_bytes)

    for i, path in enumerate(plain):
        index = _write_blocks(path, _tensors_in(network, i), made / f"{i}.blocks", advance)
        files.write(made / f"{i}.json", msgspec.json.encode(index), files.OURS)


def _tensors_in(network: Network, file: int) -> list[TensorSpec]:
    """Return the weights in the file with this number, with their offsets in it."""
    begins = [0, *(each.begin for each in network.checkpoint_files)]
    begin, end = begins[file], (begins[file + 1] if file + 1 < len(begins) else float("inf"))
    weights = {weight for layer in network.layers for weight in layer.weights if begin <= weight.offset < end}
    return [msgspec.structs.replace(weight, offset=weight.offset - begin) for weight in weights]


def _write_blocks(
    path: Path, tensors: Sequence[TensorSpec], target: Path, advance: Callable[[int], None]
) -> BlockIndex:
    """Write the blocks of the file `path`, which contains `tensors`; return their index."""
    from pytest_edgeload.networks import compressed_blocks as blocks  # noqa: PLC0415  # imports numpy, and only compressed weights need it

    digest, sizes, packer = hashlib.sha256(), array("I"), blocks.Packer()
    with files.naming(target), files.open_file(path) as source, files.create(target, files.OURS) as file:
        plain_bytes = os.fstat(source.fileno()).st_size
        item_bytes = blocks.block_item_bytes(tensors, plain_bytes)
        for width in item_bytes:
            plain = source.read(blocks.BLOCK_BYTES)
            packed = packer.pack(memoryview(plain), width)
            file.write(packed)
            digest.update(packed)
            sizes.append(len(packed))
            advance(len(plain))
        file.flush()
        os.fsync(file.fileno())  # dirty pages could not be dropped from the page cache before a run
    return blocks.BlockIndex(plain_bytes, sizes.tobytes(), item_bytes, digest.hexdigest())


def edgenet_form(path: Path) -> StoreForm:
    """Return the form of the weights in an .edgenet file. Raises DamagedNetwork."""
    return PLAIN if plain_bytes(path) is None else COMPRESSED


def read_index(folder: Path, file: int) -> BlockIndex:
    """Return the index of the compressed weights file with this number. Raises DamagedNetwork."""
    if is_edgenet(folder):
        from pytest_edgeload.networks.compressed_edgenet import index_in  # noqa: PLC0415  # see above

        return index_in(folder)
    from pytest_edgeload.networks.compressed_blocks import BlockIndex  # noqa: PLC0415  # see above

    path = compressed_folder(folder) / f"{file}.json"
    try:
        index = decoding.decode(files.read(path, _MAX_INDEX_BYTES), BlockIndex)
        if index.is_valid(blocks_file(folder, file).stat().st_size):
            return index
    except OSError as error:
        raise damaged_copy(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise damaged_copy(path, str(error)) from error
    raise damaged_copy(path, "it does not describe the blocks next to it")


def verify_copy(folder: Path, count: int) -> None:
    """Compare the `count` compressed weights files of the network in `folder` with their digests.

    Raises DamagedNetwork.
    """
    for i in range(count):
        path, index = blocks_file(folder, i), read_index(folder, i)
        with files.open_file(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != index.sha256:
                raise damaged_copy(path, "its bytes are not the ones that were written")


def stored_share(stored: Iterable[tuple[Path, Network]]) -> float:
    """Return the share of the weights of networks, given with their folders, that their compressed copies store.

    Only weights that every request needs count.
    """
    plain_bytes = compressed_bytes = 0
    for folder, network in stored:
        stretches = required_stretches(network)
        plain_bytes += sum(size_bytes for _, size_bytes in stretches)
        compressed_bytes += _stored_bytes(folder, network, stretches)
    return compressed_bytes / plain_bytes if plain_bytes else 1.0


def _stored_bytes(folder: Path, network: Network, stretches: Iterable[tuple[int, int]]) -> int:
    """Return the bytes of the blocks that contain stretches of the weights, as (address, length)."""
    begins = [0, *(each.begin for each in network.checkpoint_files)]
    by_file: dict[int, list[tuple[int, int]]] = {}
    for offset, size_bytes in stretches:
        file = bisect_right(begins, offset) - 1
        by_file.setdefault(file, []).append((offset - begins[file], size_bytes))
    return sum(read_index(folder, file).stored_bytes(own) for file, own in by_file.items())


def weights_share(stored: Path) -> float | None:
    """Return the share of the bytes of weights that their compressed form has; None if `stored` has only plain weights.

    `stored` is a network's folder or .edgenet file. Raises DamagedNetwork.
    """
    if is_edgenet(stored):
        indexes = [read_index(stored, 0)] if edgenet_form(stored) == COMPRESSED else []
    else:
        indexes = [read_index(stored, i) for i, _ in enumerate(sorted(compressed_folder(stored).glob("*.json")))]
    plain_bytes = sum(index.plain_bytes for index in indexes)
    return sum(index.blocks_bytes for index in indexes) / plain_bytes if plain_bytes else None


def damaged_copy(path: Path, reason: str) -> DamagedNetwork:
    """Return the error for a file with compressed weights."""
    if is_edgenet(path):
        return damaged_edgenet(path, reason)
    return DamagedNetwork(f"{path} is damaged", reason, f"delete the folder {path.parent}, and it is made again")
