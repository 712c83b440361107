"""Generation of images: a transformer removes the noise of a latent image, step by step.

Contains DiT-B/4 of the published size (Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023) with
seeded weights instead of trained ones. Imports torch and models.weights.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from models.weights import seeded
from pytest_edgeload import Feed, Inputs

SIDE, CHANNELS, CLASSES = 32, 4, 1000
"""The side and the channels of a latent image, and the classes of ImageNet."""

STEPS = 8
"""The most steps of a request."""

_WIDTH, _DEPTH, _HEADS, _PATCH, _FREQUENCIES = 768, 12, 12, 4, 256
_PLACES = (SIDE // _PATCH) ** 2


def dit_b4() -> tuple[nn.Module, list[Inputs]]:
    """Return a step of DiT-B/4: a latent (1, 4, 32, 32), its step and a class to the next latent.

    It has 130,426,496 parameters, without the constant table of positions. The second output is the variances.
    """
    model = Denoiser()
    noises = seeded("dit_b4", model, lambda random: (torch.randn(1, CHANNELS, SIDE, SIDE, generator=random),))
    feeds = (Feed(0, output=0), Feed(1, rule="next"))
    return model, [Inputs((*noise, torch.tensor([0]), torch.tensor([7])), steps=STEPS, feeds=feeds) for noise in noises]


class Denoiser(nn.Module):
    """One step: the network predicts the noise in a latent image, and a part of it is removed."""

    positions: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(CHANNELS, _WIDTH, _PATCH, stride=_PATCH)
        self.time = nn.Sequential(nn.Linear(_FREQUENCIES, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH))
        self.classes = nn.Embedding(CLASSES + 1, _WIDTH)  # the last one stands for no class
        self.blocks = nn.ModuleList(Block() for _ in range(_DEPTH))
        self.shift_and_scale = nn.Linear(_WIDTH, 2 * _WIDTH)
        self.pixels = nn.Linear(_WIDTH, 2 * CHANNELS * _PATCH**2)
        self.register_buffer("positions", waves(torch.arange(_PLACES), _WIDTH), persistent=False)

    def forward(self, latent: torch.Tensor, step: torch.Tensor, kind: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the latent after this step, and the variances of the noise."""
        x = self.patches(latent).flatten(2).transpose(1, 2) + self.positions
        condition = functional.silu(self.time(waves(STEPS - step, _FREQUENCIES)) + self.classes(kind))
        for block in self.blocks:
            x = block(x, condition)
        shift, scale = self.shift_and_scale(condition)[:, None].chunk(2, -1)
        noise, variances = self._image(self.pixels(modulated(x, shift, scale))).chunk(2, 1)
        return latent - noise / STEPS, variances

    def _image(self, x: torch.Tensor) -> torch.Tensor:
        cells = SIDE // _PATCH
        patches = x.view(1, cells, cells, _PATCH, _PATCH, 2 * CHANNELS)
        return patches.permute(0, 5, 1, 3, 2, 4).reshape(1, 2 * CHANNELS, SIDE, SIDE)


class Block(nn.Module):
    """Attention and two linear layers; the condition shifts and scales what goes in, and scales what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.condition = nn.Linear(_WIDTH, 6 * _WIDTH)
        self.qkv, self.out = nn.Linear(_WIDTH, 3 * _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.wide, self.narrow = nn.Linear(_WIDTH, 4 * _WIDTH), nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        shift, scale, gain, shift_2, scale_2, gain_2 = self.condition(condition)[:, None].chunk(6, -1)
        x = x + gain * self._attention(modulated(x, shift, scale))
        wide = functional.gelu(self.wide(modulated(x, shift_2, scale_2)), approximate="tanh")
        answer: torch.Tensor = x + gain_2 * self.narrow(wide)
        return answer

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(x).view(1, _PLACES, 3, _HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        answer: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return answer


def modulated(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return `x` normalized along its last axis, scaled by 1 + `scale` and shifted."""
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def waves(numbers: torch.Tensor, width: int) -> torch.Tensor:
    """Return a row of cosines and sines for each number: (n, `width`)."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(width // 2) / (width // 2))
    angles = numbers[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)
