"""How a network gets its weights and its samples: seeded, repeatable and alive.

Here lives what the families share about numbers, and no architecture. Imports torch and nothing of this project.

Trained weights are not needed: memory and time do not depend on their values. Outputs do, and the values are chosen
such that an output gives a mistake away: activations keep their size from the first layer to the last, what differs
between two inputs stays different, no bias is zero, and a softmax stays clear of 0 and 1.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

Samples = list[tuple[torch.Tensor, ...]]
"""Inputs to try a network with; each tuple holds the arguments of one call."""

CAFFE_PIXELS = (-128.0, 127.0)
"""What Caffe feeds its networks: 8-bit pixels less their mean. With much smaller ones an LRN would do nothing."""


def build(
    name: str,
    make_module: Callable[[], nn.Module],
    *,
    side: int,
    pixels: tuple[float, float] = CAFFE_PIXELS,
    last_gain: float = 1 / 32,
) -> tuple[nn.Module, Samples]:
    """Return the module in eval mode, and three samples of one (1, 3, side, side) tensor; `name` is the seed of both.

    `pixels` is the range of a sample's values. `last_gain` scales the weights of the last layer: from the size of
    pixels, which activations have up to there, to that of logits.
    """
    with torch.device("meta"):  # the default initialisation would cost as much as ours, and be thrown away
        module = make_module()
    module.to_empty(device="cpu").eval()
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        filled = [_fill(layer, random) for layer in module.modules() if _has_weights(layer)]
        filled[-1].mul_(last_gain)
    return module, [(_image(side, pixels, random),) for _ in range(3)]


def _has_weights(layer: nn.Module) -> bool:
    return next(layer.parameters(recurse=False), None) is not None


def _fill(layer: nn.Module, random: torch.Generator) -> torch.Tensor:
    """Give every number the layer holds its value; return the layer's weight."""
    match layer:
        case nn.Conv2d() | nn.Linear():
            _fill_weight(layer.weight, random)
            if layer.bias is not None:
                layer.bias.normal_(std=0.5, generator=random)
        case nn.BatchNorm2d(running_mean=torch.Tensor() as mean, running_var=torch.Tensor() as var):
            layer.reset_running_stats()
            layer.weight.uniform_(0.8, 1.2, generator=random)
            layer.bias.normal_(std=0.1, generator=random)
            mean.normal_(std=0.1, generator=random)
            var.uniform_(0.8, 1.2, generator=random)
        case _:
            msg = f"{type(layer).__name__}: no values for the weights of such a layer; add a case for it"
            raise TypeError(msg)
    return layer.weight


def _fill_weight(weight: torch.Tensor, random: torch.Generator) -> None:
    """Draw as He et al., "Delving Deep into Rectifiers", 2015 (fan-in, ReLU); then make each filter sum to zero.

    What leaves a ReLU is positive, and its mean would drown, layer after layer, what differs between two inputs: the
    last activations of GoogLeNet had a cosine of 0.998. With the mean goes 1 / pi of the second moment, hence the gain.
    """
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=random)
    weight.sub_(weight.flatten(1).mean(dim=1).view(-1, *[1] * (weight.dim() - 1)))
    weight.mul_(math.sqrt(math.pi / (math.pi - 1)))


def _image(side: int, pixels: tuple[float, float], random: torch.Generator) -> torch.Tensor:
    """Return patches of colour under fine grain: grain alone would be the same to a deep network every time."""
    # nearest: the smooth modes give other bytes with other numbers of threads
    patches = functional.interpolate(torch.randn(1, 3, 6, 6, generator=random), size=(side, side), mode="nearest")
    grain = torch.randn(1, 3, side, side, generator=random)
    low, high = pixels
    return low + (high - low) * (0.5 + 0.2 * patches + 0.05 * grain).clamp(0, 1)
