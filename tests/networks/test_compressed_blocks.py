"""Compressed blocks: every byte comes back, floating-point numbers shrink, and damage is noticed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.compressed_blocks import (
    BLOCK_BYTES,
    BlockIndex,
    DamagedBlock,
    Packer,
    Unpacker,
    block_item_bytes,
    pieces,
)
from pytest_edgeload.networks.layer import DTYPES, TensorSpec

RANDOM = np.random.default_rng(0)


def _weights(dtype: str, count: int) -> bytes:
    """Return numbers as trained weights have them; the upper half of a float32 is a bfloat16."""
    normal = 0.02 * RANDOM.standard_normal(count)
    if dtype == "bfloat16":
        return normal.astype("<f4").view("<u2")[1::2].tobytes()
    return normal.astype({"float16": "<f2", "float32": "<f4", "float64": "<f8"}[dtype]).tobytes()


def _restored(stored: bytes, item_bytes: int, size_bytes: int) -> bytes:
    into = np.empty(size_bytes, np.uint8)
    Unpacker().unpack(memoryview(stored), item_bytes, into)
    return into.tobytes()


@given(
    block=st.one_of(st.binary(max_size=300), st.integers(0, 300).map(bytes)),
    item_bytes=st.sampled_from([1, 2, 4, 8]),
)
def test_any_bytes_come_back(block: bytes, item_bytes: int) -> None:
    """Whatever a block contains, it is restored, in no more bytes than it had."""
    block = block[: len(block) // item_bytes * item_bytes]
    stored = Packer().pack(memoryview(block), item_bytes)
    assert len(stored) <= len(block)
    assert _restored(stored, item_bytes, len(block)) == block


@pytest.mark.parametrize(
    ("dtype", "share"), [("float64", 0.91), ("float32", 0.84), ("bfloat16", 0.68), ("float16", 0.85)]
)
def test_weights_shrink_without_loss(dtype: str, share: float) -> None:
    """Blocks of normally distributed weights shrink nearly to their entropy, and each bit comes back."""
    item_bytes = DTYPES[dtype][1]
    block = _weights(dtype, BLOCK_BYTES // item_bytes)
    stored = Packer().pack(memoryview(block), item_bytes)
    assert len(stored) < share * len(block)
    assert _restored(stored, item_bytes, len(block)) == block


def test_random_bytes_are_stored_as_they_are() -> None:
    """A block that does not shrink costs no time to restore."""
    block = RANDOM.bytes(BLOCK_BYTES)
    assert Packer().pack(memoryview(block), 2) == block


@given(cut=st.integers(1, 40), item_bytes=st.sampled_from([1, 2, 4]))
def test_damaged_blocks_are_refused(cut: int, item_bytes: int) -> None:
    """A block that lacks its end, or has other bytes there, is refused."""
    block = _weights("float32", 4096)
    stored = Packer().pack(memoryview(block), 4)
    others = zstandard.compress(bytes(4097))
    for damaged in (stored[:-cut], stored[:cut], stored[:12288] + b"\0" * cut, stored[:12288] + others):
        with pytest.raises(DamagedBlock):
            _restored(damaged, 4, len(block))
    with pytest.raises(DamagedBlock):
        _restored(stored, 8, len(block) + 1)


def test_frame_of_many_bytes_takes_no_memory() -> None:
    """A block of a few bytes whose frame says that it has 32 MiB is refused before they are allocated."""
    frame = zstandard.compress(bytes(32 << 20))
    tracemalloc.start()
    with pytest.raises(DamagedBlock):
        _restored(frame, 1, BLOCK_BYTES)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_each_block_has_the_numbers_of_most_of_its_bytes() -> None:
    """A block that several tensors share has the size of the numbers of the largest part; integers count as bytes."""
    tensors = [
        TensorSpec("small", "float32", (), 0, 4),
        TensorSpec("half", "bfloat16", (), 4, BLOCK_BYTES),
        TensorSpec("codes", "int32", (), BLOCK_BYTES + 4, BLOCK_BYTES - 4),
        TensorSpec("odd", "float64", (), 2 * BLOCK_BYTES, 12),
    ]
    assert block_item_bytes(tensors, 2 * BLOCK_BYTES + 12) == bytes([2, 1, 1])


@given(sizes=st.lists(st.integers(1, BLOCK_BYTES), min_size=1, max_size=40), max_bytes=st.integers(1, 4 * BLOCK_BYTES))
def test_pieces_are_as_large_as_allowed(sizes: list[int], max_bytes: int) -> None:
    """Pieces contain all blocks in order; each has at most the allowed bytes, or one block, and no room for another."""
    index = BlockIndex(len(sizes) * BLOCK_BYTES, np.array(sizes, np.uint32).tobytes(), bytes(len(sizes)), "")
    found = list(pieces(index, range(len(sizes)), max_bytes))
    assert [block for piece in found for block in piece] == [*range(len(sizes))]
    for piece in found:
        own = sum(sizes[block] for block in piece)
        assert own <= max_bytes or len(piece) == 1
        assert piece.stop == len(sizes) or own + sizes[piece.stop] > max_bytes
