"""A language model that sees: an encoder turns an image into the first rows of a decoder's prompt.

Contains the two networks of SmolVLM-256M (Marafioti et al., "SmolVLM: Redefining small and efficient multimodal
models", 2025), and a pair of the same parts that is small enough for any test. Both have seeded weights. Imports torch,
transformers, models.decoders and models.weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from models.decoders import Sizes, Step, with_weights
from models.weights import PIXELS, Samples, image, seeded
from pytest_edgeload import Feed, Inputs

WORDS, STEPS = 16, 32
"""Tokens of the prompt after the image, and the most steps of a request (a token each)."""


@dataclass(frozen=True)
class Pair:
    """The sizes of an encoder and its decoder; `name` seeds the weights.

    The encoder cuts an image of `side` pixels into patches of 16. `fold` times `fold` of them become one row.
    `dtype` is the type of the decoder; the encoder has float32.
    """

    name: str
    side: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    fold: int
    text: Sizes
    dtype: torch.dtype

    @property
    def rows(self) -> int:
        """The rows of the prompt that an image becomes."""
        return (self.side // 16 // self.fold) ** 2


SMOLVLM = Pair(
    "smolvlm",
    side=512,
    hidden=768,
    intermediate=3072,
    layers=12,
    heads=12,
    fold=4,
    text=Sizes(576, 1536, 30, 9, 3, seed=1, vocabulary=49_280, places=128, has_head=True),
    dtype=torch.float16,
)
SMALL = Pair(
    "small_vlm",
    side=64,
    hidden=32,
    intermediate=64,
    layers=2,
    heads=2,
    fold=2,
    text=Sizes(64, 96, 2, 2, 1, seed=10, vocabulary=512, places=64, has_head=True, deviation=0.1),
    dtype=torch.float32,
)


def smolvlm_image() -> tuple[nn.Module, Samples]:
    """Return the encoder: an image (1, 3, 512, 512) to 64 rows of a prompt (1, 64, 576); 93,510,912 parameters."""
    return _encoder(SMOLVLM)


def smolvlm_text() -> tuple[nn.Module, list[Inputs]]:
    """Return one step of the decoder: tokens, their places and an image's rows to logits; 162,974,016 parameters."""
    return _decoder(SMOLVLM)


def small_vlm_image() -> tuple[nn.Module, Samples]:
    """Return a small encoder: an image (1, 3, 64, 64) to 4 rows of a prompt (1, 4, 64)."""
    return _encoder(SMALL)


def small_vlm_text() -> tuple[nn.Module, list[Inputs]]:
    """Return one step of the small decoder."""
    return _decoder(SMALL)


class Encoder(nn.Module):
    """A vision transformer, and the projection of its patches to the width of the decoder."""

    def __init__(self, pair: Pair) -> None:
        super().__init__()
        config = SiglipVisionConfig(
            hidden_size=pair.hidden,
            intermediate_size=pair.intermediate,
            num_hidden_layers=pair.layers,
            num_attention_heads=pair.heads,
            image_size=pair.side,
            patch_size=16,
            vision_use_head=False,
        )
        self.model, self.fold = SiglipVisionModel(config), pair.fold
        self.projector = nn.Linear(pair.hidden * pair.fold**2, pair.text.hidden, bias=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return a row for each square of patches."""
        patches = self.model(pixels).last_hidden_state
        squares = patches.transpose(1, 2).unflatten(2, (round(patches.shape[1] ** 0.5), -1))
        rows: torch.Tensor = self.projector(
            nn.functional.pixel_unshuffle(squares, self.fold).flatten(2).transpose(1, 2)
        )
        return rows


class SeeingStep(Step):
    """One step of a decoder whose first step has the rows of an image before the tokens of the prompt."""

    def forward(self, tokens: torch.Tensor, places: torch.Tensor, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return the logits of the token after `tokens`; `images` is used in the first step."""
        rows = self.model.model.embed_tokens(tokens)
        if tokens.shape[1] > 1:
            rows = torch.cat([images.to(rows.dtype), rows], 1)
        return self.logits(rows, places)


def _encoder(pair: Pair) -> tuple[nn.Module, Samples]:
    encoder = Encoder(pair)
    samples = seeded(f"{pair.name}_image", encoder, lambda random: (image(pair.side, PIXELS, random),))
    with torch.no_grad():
        encoder.projector.weight.mul_(pair.text.deviation)  # rows as large as the embeddings of tokens
    return encoder, samples[:1]


def _decoder(pair: Pair) -> tuple[nn.Module, list[Inputs]]:
    """Return one step and a sample, whose image is that of the encoder's sample."""
    encoder, [sample] = _encoder(pair)
    with torch.inference_mode():
        images = encoder(*sample).clone()
    sizes = pair.text
    model = with_weights(f"{pair.name}_text", sizes).to(pair.dtype)
    words = torch.randint(sizes.vocabulary, (1, WORDS), generator=torch.Generator().manual_seed(sizes.seed))
    feeds = Feed(0, rule="argmax", last=True), Feed(1, rule="next", last=True)
    first = Inputs((words, torch.arange(pair.rows + WORDS), images), steps=STEPS, feeds=feeds)
    return SeeingStep(model, sizes).eval(), [first]
