"""Blocks: the form of compressed weights, without loss. Each block of a file is compressed by itself. No torch.

Of a number of a trained weight, only the first byte follows a pattern: the sign and most of the exponent. The bytes of
the mantissa are random. So the numbers of a block are cut into planes: the last half of their bytes, the last half of
the rest, and so on down to the first byte. Only that plane is compressed, and only by entropy: the search for
repetitions finds none. A block that does not shrink is stored as it is.

A file of blocks contains them one after the other, each with its planes in this order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import zstandard

from pytest_edgeload.networks.layer import DTYPES, TensorSpec

BLOCK_BYTES = 64 << 10
"""Bytes of the original file that a block contains: few beside a tile, whose ends are rarely those of a block."""

BLOCK_FORMAT = 1
"""Version of the files of blocks and their index."""

_MAX_SHARE = 0.97
"""A block is compressed only if it shrinks to this share; a smaller gain is not worth the time."""

_FLOATS = {name for name in DTYPES if "float" in name}

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
"""Bytes as a vector."""


class DamagedBlock(ValueError):
    """A block does not contain the bytes that were written."""


class BlockIndex(msgspec.Struct, frozen=True, dict=True):
    """The sizes of all blocks of a file, and the bytes of one number in each; in native byte order.

    `plain_bytes` is the size of the original file, and `begin` the offset of the first block in the file of blocks.
    `sha256` is the digest of that file, empty if it has one itself.
    """

    plain_bytes: int
    sizes: bytes
    item_bytes: bytes
    sha256: str
    format: int = BLOCK_FORMAT
    begin: int = 0

    @cached_property
    def ends(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The offset of each block in the file of blocks, and the end of the last one."""
        ends = np.cumsum(np.frombuffer(self.sizes, np.uint32), dtype=np.int64)
        return self.begin + np.concatenate((np.zeros(1, np.int64), ends))

    @property
    def blocks_bytes(self) -> int:
        """The size of all blocks."""
        return int(self.ends[-1]) - self.begin

    def touched(self, offset: int, size_bytes: int) -> range:
        """Return the blocks that contain these bytes of the original file."""
        return range(offset // BLOCK_BYTES, -(-(offset + size_bytes) // BLOCK_BYTES))

    def block_bytes(self, block: int) -> int:
        """Return the bytes of the original file that a block contains."""
        return min(BLOCK_BYTES, self.plain_bytes - block * BLOCK_BYTES)

    def stored_bytes(self, stretches: Iterable[tuple[int, int]]) -> int:
        """Return the bytes of all blocks that contain stretches of the original file, as (first byte, length)."""
        blocks = sorted({block for stretch in stretches for block in self.touched(*stretch)})
        return int(np.frombuffer(self.sizes, np.uint32)[blocks].sum(dtype=np.int64))

    def is_valid(self, size_bytes: int) -> bool:
        """Return whether the index describes all blocks of a file of `size_bytes`."""
        count = -(-self.plain_bytes // BLOCK_BYTES)
        return (
            len(self.item_bytes) == count
            and len(self.sizes) == 4 * count
            and int(self.ends[-1]) == size_bytes
            and all(stored <= BLOCK_BYTES for stored in np.frombuffer(self.sizes, np.uint32))
            and set(self.item_bytes) <= {1, 2, 4, 8}
        )


class Packer:
    """Compresses blocks, one after the other."""

    def __init__(self) -> None:
        # A small table and long matches: the search finds no repetitions, and what is left is the entropy coder.
        parameters = zstandard.ZstdCompressionParameters(
            strategy=zstandard.STRATEGY_FAST, min_match=7, hash_log=6, window_log=17
        )
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters)

    def pack(self, block: memoryview, item_bytes: int) -> bytes:
        """Return a block of numbers of `item_bytes`, compressed; or as it is, if it does not shrink."""
        numbers = np.frombuffer(block, np.uint8)
        *random, first = _planes(numbers, item_bytes)
        packed = [plane.tobytes() for plane in random] + [self._compressor.compress(first.tobytes())]
        return b"".join(packed) if sum(map(len, packed)) <= _MAX_SHARE * len(block) else bytes(block)


class Unpacker:
    """Restores blocks, one after the other; every thread needs its own."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor()

    def unpack(self, stored: memoryview, item_bytes: int, into: Bytes) -> None:
        """Write the original bytes of a block `into` a vector of their number. Raises DamagedBlock."""
        if len(stored) == len(into):
            into[:] = np.frombuffer(stored, np.uint8)
            return
        if len(into) % item_bytes:
            raise DamagedBlock
        *random, first = _planes(into, item_bytes)
        begin = 0
        try:
            for plane in random:
                plane[:] = np.frombuffer(stored[begin : begin + plane.nbytes], plane.dtype)
                begin += plane.nbytes
            first[:] = np.frombuffer(self._decompressed(stored[begin:], first.nbytes), np.uint8)
        except (zstandard.ZstdError, ValueError) as error:
            raise DamagedBlock from error

    def _decompressed(self, frame: memoryview, size_bytes: int) -> bytes:
        """Return the bytes in a frame. Raises ZstdError, or ValueError if the frame states another size."""
        if zstandard.frame_content_size(frame) != size_bytes:  # as much is allocated, whatever the maximum
            raise ValueError
        return self._decompressor.decompress(frame)


def _planes(numbers: Bytes, item_bytes: int) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the planes of little-endian numbers as views: half of their bytes, half of the rest, and so on."""
    begin, width = 0, item_bytes
    while width > 1:
        width //= 2
        yield numbers.view(f"<u{width}")[begin // width :: item_bytes // width]
        begin += width
    yield numbers[item_bytes - 1 :: item_bytes]


def block_item_bytes(tensors: Iterable[TensorSpec], plain_bytes: int) -> bytes:
    """Return the bytes of one number in each block: those of the tensor that has the most bytes in it.

    The offsets of `tensors` are in the file, which has `plain_bytes`. Numbers that are not floating-point count as
    single bytes.
    """
    count = -(-plain_bytes // BLOCK_BYTES)
    item_bytes, most = bytearray(b"\x01" * count), [0] * count
    for spec in tensors:
        end = spec.offset + spec.size_bytes
        for block in range(spec.offset // BLOCK_BYTES, -(-end // BLOCK_BYTES)):
            first, last = block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, plain_bytes)
            covered = min(end, last) - max(spec.offset, first)
            width = DTYPES[spec.dtype][1] if spec.dtype in _FLOATS else 1
            if covered > most[block] and (last - first) % width == 0:
                item_bytes[block], most[block] = width, covered
    return bytes(item_bytes)


def pieces(index: BlockIndex, blocks: Sequence[int], max_bytes: int) -> Iterator[range]:
    """Cut a range of blocks into ranges of at most `max_bytes` in the file of blocks, or one block."""
    first, end = blocks[0], blocks[-1] + 1
    while first < end:
        last = int(np.searchsorted(index.ends, index.ends[first] + max_bytes, side="right")) - 1
        stop = min(end, max(first + 1, last))
        yield range(first, stop)
        first = stop
