"""Weights in the types of GGUF files: a tensor that widens itself to the module's type when it is used. Imports torch.

A row of a quantized weight consists of blocks of 32 or 256 numbers, each with its scales. The formulas follow
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and keep rows apart, so that a worker widens row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch


def _q8_0(blocks: torch.Tensor) -> torch.Tensor:
    """Widen blocks of a scale and 32 numbers of 8 bits."""
    return blocks[..., 2:].view(torch.int8).float() * _half(blocks[..., :2])


def _q4_0(blocks: torch.Tensor) -> torch.Tensor:
    """Widen blocks of a scale and 16 bytes, whose lower halves are the first 16 numbers."""
    pairs = blocks[..., 2:]
    return (torch.cat([pairs & 15, pairs >> 4], -1).float() - 8) * _half(blocks[..., :2])


def _q4_k(blocks: torch.Tensor) -> torch.Tensor:
    """Widen blocks of eight parts, each with a scale and a minimum of 6 bits that are packed in twelve bytes."""
    low, middle, high = blocks[..., 4:8], blocks[..., 8:12], blocks[..., 12:16]
    scales = torch.cat([low & 63, (high & 15) | ((low >> 6) << 4)], -1).float() * _half(blocks[..., :2])
    minima = torch.cat([middle & 63, (high >> 4) | ((middle >> 6) << 4)], -1).float() * _half(blocks[..., 2:4])
    pairs = torch.unflatten(blocks[..., 16:], -1, (4, 32))
    numbers = torch.stack([pairs & 15, pairs >> 4], -2).flatten(-3, -2).float()
    return (numbers * scales[..., None] - minima[..., None]).flatten(-2, -1)


def _q6_k(blocks: torch.Tensor) -> torch.Tensor:
    """Widen blocks of 16 parts, each with a scale of 8 bits; four and two bits of a number are in different bytes."""
    fours, twos = torch.unflatten(blocks[..., :128], -1, (2, 64)), torch.unflatten(blocks[..., 128:192], -1, (2, 32))
    lower = torch.stack([fours & 15, fours >> 4], -2).flatten(-3, -1)
    upper = torch.stack([twos & 3, (twos >> 2) & 3, (twos >> 4) & 3, twos >> 6], -2).flatten(-3, -1)
    scales = blocks[..., 192:208].view(torch.int8).float() * _half(blocks[..., 208:210])
    numbers = (lower | (upper << 4)).float() - 32
    return (torch.unflatten(numbers, -1, (16, 16)) * scales[..., None]).flatten(-2, -1)


def _half(pair: torch.Tensor) -> torch.Tensor:
    return pair.view(torch.float16).float()


_BLOCKS: Mapping[str, tuple[int, Callable[[torch.Tensor], torch.Tensor]]] = {
    "Q8_0": (34, _q8_0),
    "Q4_0": (18, _q4_0),
    "Q4_K": (144, _q4_k),
    "Q6_K": (210, _q6_k),
}
"""The bytes of a block of each type, and the function that widens blocks."""

_COPIES = {torch.ops.aten.detach.default, torch.ops.aten.clone.default, torch.ops.aten.alias.default}


def widen(stored: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the numbers of a weight whose last axis is the bytes of blocks of a type, or numbers of a plain type."""
    if kind not in _BLOCKS:
        return stored
    block_bytes, function = _BLOCKS[kind]
    return function(torch.unflatten(stored, -1, (-1, block_bytes))).flatten(-2, -1)


class StoredWeight(torch.Tensor):
    """A weight that is held as a file has it, and widened to its own type by each op that uses it."""

    stored: torch.Tensor
    kind: str

    def __new__(cls, stored: torch.Tensor, kind: str, shape: Sequence[int], dtype: torch.dtype) -> Self:
        """Return the weight of this shape and type whose bytes are `stored`."""
        made: Self = torch.Tensor._make_wrapper_subclass(cls, torch.Size(shape), dtype=dtype)  # noqa: SLF001
        made.stored, made.kind = stored, kind
        return made

    def __tensor_flatten__(self) -> tuple[list[str], tuple[str, torch.Size, torch.dtype]]:
        """Return the name of the inner tensor, and what else is needed to make the weight of it again."""
        return ["stored"], (self.kind, self.shape, self.dtype)

    @staticmethod
    def __tensor_unflatten__(
        inner: dict[str, torch.Tensor], made_of: tuple[str, torch.Size, torch.dtype], *_: object
    ) -> StoredWeight:
        """Return the weight that has `inner`."""
        return StoredWeight(inner["stored"], *made_of)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares it as a method of objects
        cls, function: Callable[..., Any], _types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call an operator with widened weights; a copy of a weight stays as it is stored."""
        if function in _COPIES:
            weight = args[0]
            return StoredWeight(function(weight.stored), weight.kind, weight.shape, weight.dtype)
        widened = torch.utils._pytree.tree_map_only(  # noqa: SLF001
            StoredWeight, lambda weight: widen(weight.stored, weight.kind).to(weight.dtype), (args, kwargs or {})
        )
        return function(*widened[0], **widened[1])
