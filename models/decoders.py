"""Decoders of text: a prompt or one token in, the next one out, and a cache of keys and values between the steps.

Contains Llama-like decoders of the published sizes of SmolLM2 (Allal et al., "SmolLM2: When Smol Goes Big", 2025), with
seeded weights instead of trained ones: time and memory do not depend on their values. Imports torch and transformers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import Cache, StaticLayer
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pytest_edgeload import Feed, Inputs

PROMPT, STEPS, PLACES = 16, 32, 64
"""Tokens of the prompt, the most steps of a request (a token each), and the tokens that the cache has room for."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a decoder; `seed` draws the prompt of its sample, see `_decoder`.

    The cache has room for `places` tokens. With `has_head`, the last matrix is not that of the embedding.
    `deviation` is the standard deviation of the weights.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    seed: int
    vocabulary: int = 49_152
    places: int = PLACES
    has_head: bool = False
    deviation: float = 0.02


SMOL_135M = Sizes(hidden=576, intermediate=1536, layers=30, heads=9, key_heads=3, seed=14)
SMOL_360M = Sizes(hidden=960, intermediate=2560, layers=32, heads=15, key_heads=5, seed=10)


def smol_135m() -> tuple[nn.Module, list[Inputs]]:
    """Return a decoder of 134,515,008 parameters in float16, of which a step reads 269 MB."""
    return _decoder("smol_135m", SMOL_135M, torch.float16)


def smol_360m() -> tuple[nn.Module, list[Inputs]]:
    """Return a decoder of 361,821,120 parameters in float16, of which a step reads 724 MB."""
    return _decoder("smol_360m", SMOL_360M, torch.float16)


def smol_360m_bf16() -> tuple[nn.Module, list[Inputs]]:
    """Return the decoder `smol_360m` in bfloat16."""
    return _decoder("smol_360m", SMOL_360M, torch.bfloat16)


def smol_360m_int8() -> tuple[nn.Module, list[Inputs]]:
    """Return the decoder `smol_360m` with matrices of int8, of which a step reads 362 MB; the embedding is float16."""
    step, samples = _decoder("smol_360m", SMOL_360M, torch.float16)
    for parent in list(step.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child.weight))
    return step, samples


class Int8Linear(nn.Module):
    """A matrix of int8 with a scale for each row, widened before it is used."""

    numbers: torch.Tensor
    scales: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        scales = weight.detach().float().abs().amax(1, keepdim=True) / 127
        self.register_buffer("numbers", (weight.detach() / scales).round().to(torch.int8))
        self.register_buffer("scales", scales.to(weight.dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product of the rows of `x` and the matrix."""
        return functional.linear(x, self.numbers.to(x.dtype) * self.scales)


class Step(nn.Module):
    """One step of a decoder: tokens and their places go in, the logits of the token after the last one come out.

    The first step has all tokens of the prompt, and each later step has one. The keys and values of the tokens so far
    are buffers, which each step changes.
    """

    def __init__(self, model: Any, sizes: Sizes) -> None:
        super().__init__()
        self.model = model
        self.layers, self.places = sizes.layers, sizes.places
        for i in range(sizes.layers):
            for name in ("keys", "values"):
                empty = torch.zeros(1, sizes.key_heads, sizes.places, sizes.hidden // sizes.heads, dtype=model.dtype)
                self.register_buffer(f"{name}_{i}", empty, persistent=False)

    def forward(self, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the logits of the token after `tokens`, which are at `places`."""
        return self.logits(self.model.model.embed_tokens(tokens), places)

    def logits(self, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the logits of the token after those whose embeddings are `rows`, which are at `places`."""
        buffers = ((self.get_buffer(f"keys_{i}"), self.get_buffer(f"values_{i}")) for i in range(self.layers))
        cache = Cache(layers=[BufferCache(keys, values, places) for keys, values in buffers])
        visible = (torch.arange(self.places) <= places[:, None])[None, None]
        logits: torch.Tensor = self.model(None, visible, places[None], cache, rows, logits_to_keep=1).logits
        return logits


class BufferCache(StaticLayer):  # type: ignore[no-untyped-call]  # of transformers
    """The cache of one layer: writes the states of tokens into the given buffers."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, places: torch.Tensor) -> None:
        super().__init__(keys.shape[2])
        self.keys, self.values, self.is_initialized = keys, values, True
        self._cache, self._places = (keys, values), places

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cache with the states of the tokens at their places."""
        for tensor, states in zip(self._cache, (key_states, value_states), strict=True):
            tensor.index_copy_(2, self._places, states)
        return self._cache


def _decoder(name: str, sizes: Sizes, dtype: torch.dtype) -> tuple[nn.Module, list[Inputs]]:
    """Return one step of a decoder and a sample of a prompt and STEPS steps, which begins with an empty cache.

    `name` seeds the weights. After the prompt of the seed in `sizes`, the largest logit of each step is clearly larger
    than the second largest, so that rounding does not decide which token comes next.
    """
    return step_of(with_weights(name, sizes).to(dtype), sizes)


def with_weights(name: str, sizes: Sizes) -> Any:
    """Return the decoder of transformers in float32, with normal weights that `name` seeds."""
    model = without_weights(sizes)
    model.to_empty(device="cpu").tie_weights()
    model.model.rotary_emb = LlamaRotaryEmbedding(model.config)  # `to_empty` took its values
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1.0) if weight.dim() == 1 else weight.normal_(std=sizes.deviation, generator=random)
    return model


def without_weights(sizes: Sizes) -> Any:
    """Return the decoder of transformers; its parameters have no values yet."""
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.key_heads,
        max_position_embeddings=sizes.places,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=not sizes.has_head,
    )
    with torch.device("meta"):  # skips the default initialization
        model: Any = LlamaForCausalLM(config)
    model.model.rotary_emb = LlamaRotaryEmbedding(config)  # computes buffers that are no weights
    return model


def step_of(model: Any, sizes: Sizes) -> tuple[nn.Module, list[Inputs]]:
    """Return one step of a decoder of transformers, and a sample of a prompt and STEPS steps."""
    feeds = Feed(0, rule="argmax", last=True), Feed(1, rule="next", last=True)
    sample = Inputs((prompt_of(sizes), torch.arange(PROMPT)), steps=STEPS, feeds=feeds)
    return Step(model, sizes).eval(), [sample]


def prompt_of(sizes: Sizes) -> torch.Tensor:
    """Return the tokens of the prompt, of the shape (1, PROMPT)."""
    return torch.randint(sizes.vocabulary, (1, PROMPT), generator=torch.Generator().manual_seed(sizes.seed))
