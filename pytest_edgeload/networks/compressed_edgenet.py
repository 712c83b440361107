"""Compressed weights in an .edgenet file: their blocks, and the index after them; see `networks.edgenet`. No torch."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pytest_edgeload.base import files
from pytest_edgeload.networks.compressed_blocks import BLOCK_BYTES, BlockIndex, Packer
from pytest_edgeload.networks.edgenet import damaged_edgenet, plain_bytes
from pytest_edgeload.networks.layer import TensorSpec

_SIZE_BYTES = 4
_ENTRY_BYTES = _SIZE_BYTES + 1
"""Bytes of a block in the index: its size, and the bytes of one number."""


def index_in(path: Path) -> BlockIndex:
    """Return the index of the blocks in an .edgenet file with compressed weights. Raises DamagedNetwork."""
    restored_bytes = plain_bytes(path) or 0
    count = -(-restored_bytes // BLOCK_BYTES)
    try:
        with files.open_file(path) as file:
            end = path.stat().st_size - _ENTRY_BYTES * count
            file.seek(max(0, end))
            entries = file.read() if end > 0 else b""
    except OSError as error:
        raise damaged_edgenet(path, error.strerror or str(error)) from error
    sizes, widths = entries[: _SIZE_BYTES * count], entries[_SIZE_BYTES * count :]
    if len(widths) == count:
        begin = end - int(np.frombuffer(sizes, np.uint32).sum(dtype=np.int64))
        index = BlockIndex(restored_bytes, sizes, widths, "", begin=begin)
        if begin > 0 and index.is_valid(end):
            return index
    raise damaged_edgenet(path, "its index does not describe its blocks")


def specs_of(restored_bytes: int, blocks_bytes: int) -> list[TensorSpec]:
    """Return the tensors of the blocks, of `blocks_bytes`, that restore weights of `restored_bytes`, and the index."""
    count = -(-restored_bytes // BLOCK_BYTES)
    sizes = {"blocks": blocks_bytes, "sizes of blocks": _SIZE_BYTES * count, "bytes of numbers": count}
    return [TensorSpec(name, "uint8", (size_bytes,), 0, size_bytes) for name, size_bytes in sizes.items()]


def packed(pieces: Iterable[bytes], widths: bytes, sizes: array[int]) -> Iterator[bytes]:
    """Yield the blocks of weights, which come in `pieces`, and add the size of each to `sizes`.

    `widths` has the bytes of one number in each block.
    """
    packer = Packer()
    for block, width in zip(_blocks(pieces), widths, strict=True):
        stored = packer.pack(memoryview(block), width)
        sizes.append(len(stored))
        yield stored


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        rest += piece
        end = len(rest) // BLOCK_BYTES * BLOCK_BYTES
        yield from (rest[begin : begin + BLOCK_BYTES] for begin in range(0, end, BLOCK_BYTES))
        rest = rest[end:]
    if rest:
        yield rest
