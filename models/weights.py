"""Fills networks with random weights and creates their samples, both reproducibly from a seed.

Contains everything about numbers that the families share, and no architecture. Imports torch and nothing else of this
project.

Trained weights are not needed, because memory and time do not depend on the values. The values are chosen so that a
mistake shows in the outputs: activations keep their magnitude from the first layer to the last, two inputs give clearly
different outputs, no bias is zero, and a softmax stays away from 0 and 1.
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

_DIMENSIONS_OF_FILTERS = 4

Samples = list[tuple[torch.Tensor, ...]]
"""Example inputs of a network; each tuple contains the arguments of one call."""

PIXELS = (-2.0, 2.0)
"""The range of inputs of today's networks: pixels minus their mean, divided by their deviation."""

CAFFE_PIXELS = (-128.0, 127.0)
"""The range of Caffe's inputs: 8-bit pixels minus their mean. With much smaller values an LRN would do nothing."""


def build(
    name: str,
    make_module: Callable[[], nn.Module],
    *,
    side: int,
    pixels: tuple[float, float] = CAFFE_PIXELS,
    last_gain: float = 1 / 32,
) -> tuple[nn.Module, Samples]:
    """Return the module in eval mode and three samples of one (1, 3, side, side) tensor; `name` seeds both.

    `pixels` is the range of a sample's values. `last_gain` scales the weights of the last layer, so that its outputs
    have the magnitude of logits rather than of pixels.
    """
    with torch.device("meta"):  # skips the default initialization, which takes as long as ours
        module = make_module()
    module.to_empty(device="cpu").eval()
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        filled = [_fill(layer, random) for layer in module.modules() if _has_weights(layer)]
        filled[-1].mul_(last_gain)
    return module, [(image(side, pixels, random),) for _ in range(3)]


def seeded(name: str, model: nn.Module, draw: Callable[[torch.Generator], tuple[torch.Tensor, ...]]) -> Samples:
    """Fill a model of a library, set it to eval mode, and return three samples that `draw` makes; `name` seeds both."""
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    model.eval()
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            _fill_tensor(key, tensor, random)
    return [draw(random) for _ in range(3)]


def _fill_tensor(key: str, tensor: torch.Tensor, random: torch.Generator) -> None:
    """Draw filters and matrices that keep the magnitude of their inputs, scales near 1, and small biases."""
    if tensor.dim() == _DIMENSIONS_OF_FILTERS:
        _fill_weight(tensor, random)
    elif tensor.dim() > 1:
        tensor.normal_(std=tensor[0].numel() ** -0.5, generator=random)
    elif key.endswith(("weight", "running_var", "lambda1")):
        tensor.uniform_(0.8, 1.2, generator=random)
    else:
        tensor.normal_(std=0.1, generator=random)


def _has_weights(layer: nn.Module) -> bool:
    return next(layer.parameters(recurse=False), None) is not None


def _fill(layer: nn.Module, random: torch.Generator) -> torch.Tensor:
    """Set all parameters and statistics of a layer; return its weight."""
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
            msg = f"{type(layer).__name__}: this type of layer has no initialization; add a case for it"
            raise TypeError(msg)
    return layer.weight


def _fill_weight(weight: torch.Tensor, random: torch.Generator) -> None:
    """Draw weights as in He et al., "Delving Deep into Rectifiers", 2015 (fan-in, ReLU), with filters that sum to zero.

    The outputs of a ReLU are positive, and layer after layer their mean would hide the difference between two inputs:
    the last activations of GoogLeNet for two samples had a cosine similarity of 0.998. Removing the mean also removes
    1 / pi of the second moment; the gain restores it.
    """
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=random)
    weight.sub_(weight.flatten(1).mean(dim=1).view(-1, *[1] * (weight.dim() - 1)))
    weight.mul_(math.sqrt(math.pi / (math.pi - 1)))


def image(side: int, pixels: tuple[float, float], random: torch.Generator) -> torch.Tensor:
    """Return (1, 3, side, side): patches of color with fine grain.

    A deep network could not distinguish images of grain alone.
    """
    # nearest: results of the smooth modes depend on the number of threads
    patches = functional.interpolate(torch.randn(1, 3, 6, 6, generator=random), size=(side, side), mode="nearest")
    grain = torch.randn(1, 3, side, side, generator=random)
    low, high = pixels
    return low + (high - low) * (0.5 + 0.2 * patches + 0.05 * grain).clamp(0, 1)
