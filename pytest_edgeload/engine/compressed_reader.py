"""Reads compressed weights: another reader brings the stored bytes, and their blocks are restored in private memory.

The readers `read` and `direct` become this one for compressed weights; no mapping can restore blocks.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from pytest_edgeload.engine.memory import allocate
from pytest_edgeload.engine.readers import Reader
from pytest_edgeload.networks.compressed import damaged_copy
from pytest_edgeload.networks.compressed_blocks import BLOCK_BYTES, BlockIndex, Bytes, DamagedBlock, Unpacker, pieces
from pytest_edgeload.networks.tile import PAGE

_PIECE_BYTES = 1 << 20  # of stored bytes that are read at once


class _LaneMemory(threading.local):
    """The memory of a lane: a piece of stored bytes with the pages around it, and one restored block."""

    def __init__(self) -> None:
        self.piece = memoryview(allocate(_PIECE_BYTES + 2 * PAGE))
        self.block = np.empty(BLOCK_BYTES, np.uint8)
        self.unpacker = Unpacker()


_LANE_MEMORY = _LaneMemory()


class CompressedReader:
    """Reads byte ranges of the original file from the file of blocks at `path`, through the reader `inner` of it."""

    def __init__(self, path: Path, index: BlockIndex, inner: Reader) -> None:
        self.notice = inner.notice
        self._path = path
        self._index = index
        self._inner = inner

    def read(self, offset: int, size_bytes: int, into: memoryview | None = None) -> memoryview:
        """Return private memory that contains these bytes of the original file."""
        if offset + size_bytes > self._index.plain_bytes:
            raise EOFError(f"{self._path}: the weights end at byte {self._index.plain_bytes}")
        begin = offset % PAGE
        memory = memoryview(allocate(begin + size_bytes)) if into is None else into
        view = memory[begin : begin + size_bytes]
        if size_bytes:
            target = np.frombuffer(view, np.uint8)
            for blocks in pieces(self._index, self._index.touched(offset, size_bytes), _PIECE_BYTES):
                self._read(blocks, offset, target, is_placed=into is not None)
        return view

    def _read(self, blocks: range, offset: int, target: Bytes, *, is_placed: bool) -> None:
        """Restore the part of `blocks` that is in `target`, whose first byte is at `offset` of the original file.

        The inner reader is given a place if its caller has one, because it then drops pages from the page cache.
        """
        ends, first = self._index.ends, blocks[0]
        begin, size_bytes = int(ends[first]), int(ends[blocks[-1] + 1] - ends[first])
        stored = self._inner.read(begin, size_bytes, _LANE_MEMORY.piece if is_placed else None)
        for block in blocks:
            own = stored[int(ends[block]) - begin : int(ends[block + 1]) - begin]
            self._restore(block, own, block * BLOCK_BYTES - offset, target)

    def _restore(self, block: int, stored: memoryview, at: int, target: Bytes) -> None:
        """Restore the part of a block, which begins at index `at` of `target`, that is in `target`."""
        size_bytes = self._index.block_bytes(block)
        is_inside = at >= 0 and at + size_bytes <= len(target)
        restored = target[at : at + size_bytes] if is_inside else _LANE_MEMORY.block[:size_bytes]
        try:
            _LANE_MEMORY.unpacker.unpack(stored, self._index.item_bytes[block], restored)
        except DamagedBlock as error:
            raise damaged_copy(self._path, f"block {block} cannot be restored") from error
        if not is_inside:
            first, end = max(0, -at), min(size_bytes, len(target) - at)
            target[at + first : at + end] = restored[first:end]

    def drop(self, offset: int, size_bytes: int) -> None:
        """Do nothing: private memory goes with its last reference, and the kernel manages the page cache."""

    def close(self) -> None:
        """Close the file."""
        self._inner.close()
