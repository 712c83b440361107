"""Speech recognition: an encoder hears 30 seconds, a decoder writes one token after the other.

Contains the two networks of Whisper tiny (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
2022) with seeded weights. Imports torch, transformers and models.decoders.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import nn
from transformers import WhisperConfig, WhisperModel
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache

from models.decoders import BufferCache
from pytest_edgeload import Feed, Inputs

PLACES = 32
"""Tokens that the cache of the decoder has room for."""

_START = 50_258


def whisper_tiny_encoder() -> tuple[nn.Module, list[tuple[torch.Tensor]]]:
    """Return the encoder: a mel spectrogram (1, 80, 3000) to states (1, 1500, 384); 8.2 M parameters."""
    model, sound = _whisper()
    return _Encoder(model), [(sound,)]


def whisper_tiny_decoder() -> tuple[nn.Module, list[Inputs]]:
    """Return one step of the decoder: a token, its place and the encoder's states to logits; 29.6 M parameters."""
    model, sound = _whisper()
    with torch.inference_mode():
        states = _Encoder(model)(sound).clone()
    first = torch.tensor([[_START]]), torch.tensor([0]), states
    return _Step(model), [Inputs(first, steps=PLACES, feeds=(Feed(0, rule="argmax"), Feed(1, rule="next")))]


class _Encoder(nn.Module):
    def __init__(self, model: WhisperModel) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.encoder(sound).last_hidden_state
        return states


class _Step(nn.Module):
    def __init__(self, model: WhisperModel) -> None:
        super().__init__()
        self.decoder = model.decoder
        config = model.config
        self.layers = config.decoder_layers
        heads = config.decoder_attention_heads
        for i in range(self.layers):
            for name in ("keys", "values"):
                empty = torch.zeros(1, heads, PLACES, config.d_model // heads)
                self.register_buffer(f"{name}_{i}", empty, persistent=False)

    def forward(self, token: torch.Tensor, place: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Return the logits of the token after this one; the projection is the embedding's table."""
        caches = ((self.get_buffer(f"keys_{i}"), self.get_buffer(f"values_{i}")) for i in range(self.layers))
        own = Cache(layers=[BufferCache(keys, values, place) for keys, values in caches])
        cache: Any = EncoderDecoderCache(own, DynamicCache())
        visible = (torch.arange(PLACES) <= place)[None, None, None]
        hidden = self.decoder(token, visible, states, cache, position_ids=place[None], use_cache=True).last_hidden_state
        return nn.functional.linear(hidden, self.decoder.embed_tokens.weight)


def _whisper() -> tuple[WhisperModel, torch.Tensor]:
    """Return the model, and a spectrogram."""
    config = WhisperConfig(
        d_model=384,
        encoder_layers=4,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_layers=4,
        decoder_attention_heads=6,
        decoder_ffn_dim=1536,
        vocab_size=51_865,
    )
    random = torch.Generator().manual_seed(zlib.crc32(b"whisper_tiny"))
    model: Any = WhisperModel(config).eval()  # type: ignore[no-untyped-call]  # of transformers
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0) if "norm.weight" in name else weight.normal_(std=0.05, generator=random)
    return model, torch.randn(1, config.num_mel_bins, 2 * config.max_source_positions, generator=random)
