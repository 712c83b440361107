"""Decoders whose cache is an input and an output of each step, as the runtimes that convert models need it.

Contains the step of `models.decoders` without a prompt and without buffers that change. Imports torch, transformers and
models.decoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, StaticLayer

from models.decoders import SMOL_360M, STEPS, Sizes, with_weights
from pytest_edgeload import Feed, Inputs

_START = 1


def smol_360m_cached() -> tuple[nn.Module, list[Inputs]]:
    """Return the decoder `smol_360m`, which begins with one token instead of a prompt."""
    return cached_step(with_weights("smol_360m", SMOL_360M).to(torch.float16), SMOL_360M)


def cached_step(model: Any, sizes: Sizes) -> tuple[nn.Module, list[Inputs]]:
    """Return one step of a decoder of transformers, and a sample of STEPS steps that begins with an empty cache."""
    empty = torch.zeros(1, sizes.key_heads, sizes.places, sizes.hidden // sizes.heads, dtype=model.dtype)
    first = torch.tensor([[_START]]), torch.tensor([0]), [empty.clone() for _ in range(2 * sizes.layers)]
    feeds = Feed(0, rule="argmax"), Feed(1, rule="next"), Feed(2, output=1)
    return CachedStep(model).eval(), [Inputs(first, steps=STEPS, feeds=feeds)]


class CachedStep(nn.Module):
    """One step of a decoder: a token, its place and the cache go in, logits and the cache come out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token: torch.Tensor, place: torch.Tensor, cache: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the logits of the token after this one; `cache` has the keys and values of each layer in turn."""
        layers: list[Any] = [_GivenLayer(*pair, place) for pair in zip(cache[::2], cache[1::2], strict=True)]
        visible = (torch.arange(cache[0].shape[2]) <= place)[None, None, None]
        logits = self.model(token, visible, place[None], Cache(layers=layers)).logits
        return logits, [tensor for layer in layers for tensor in (layer.keys, layer.values)]


class _GivenLayer(StaticLayer):  # type: ignore[no-untyped-call]  # of transformers
    """The cache of one layer, which starts with the given keys and values."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, place: torch.Tensor) -> None:
        super().__init__(keys.shape[2])
        self.keys, self.values, self.is_initialized = keys, values, True
        self._given, self._place = (keys, values), place

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cache with the states of the token at its place."""
        keys, values = self._given
        self.keys = keys.index_copy(2, self._place, key_states)
        self.values = values.index_copy(2, self._place, value_states)
        return self.keys, self.values
