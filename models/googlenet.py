"""The GoogLeNet family: few weights in many small parallel convolutions.

Contains sos_googlenet. Imports torch and models.weights.

Layers keep their prototxt names if Python allows them. Pooling rounds sizes up, as Caffe does. Dropout is omitted
because it does nothing at inference.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from models.weights import Samples, build


def sos_googlenet() -> tuple[nn.Module, Samples]:
    """Return sos_googlenet, which counts salient objects (0, 1, 2, 3, 4 or more): (1, 3, 224, 224) to (1, 5).

    The GoogleNet of Zhang et al., "Salient Object Subitizing", 2017. The body is Szegedy et al., "Going Deeper with
    Convolutions", 2015, as in bvlc_googlenet/deploy.prototxt: two LRNs, no auxiliary heads.
    """
    return build("sos_googlenet", lambda: _googlenet(5), side=224)


class Inception(nn.Module):
    """Four parallel branches, concatenated along the channels: (n, c, h, w) to (n, sum of the widths, h, w).

    `one` and `pool` are widths. `three` and `five` are two widths each: the first of the 1x1 convolution that reduces
    the channels, the second of the convolution after it.
    """

    def __init__(self, channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.one = _conv(channels, one, 1)
        self.three = nn.Sequential(_conv(channels, three[0], 1), _conv(three[0], three[1], 3, padding=1))
        self.five = nn.Sequential(_conv(channels, five[0], 1), _conv(five[0], five[1], 5, padding=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), _conv(channels, pool, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the concatenated outputs of the four branches."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


def _googlenet(classes: int) -> nn.Sequential:
    layers = OrderedDict(
        conv1=_conv(3, 64, 7, stride=2, padding=3),
        pool1=_pool(),
        norm1=_norm(),
        conv2_reduce=_conv(64, 64, 1),
        conv2=_conv(64, 192, 3, padding=1),
        norm2=_norm(),
        pool2=_pool(),
        inception_3a=Inception(192, 64, (96, 128), (16, 32), 32),
        inception_3b=Inception(256, 128, (128, 192), (32, 96), 64),
        pool3=_pool(),
        inception_4a=Inception(480, 192, (96, 208), (16, 48), 64),
        inception_4b=Inception(512, 160, (112, 224), (24, 64), 64),
        inception_4c=Inception(512, 128, (128, 256), (24, 64), 64),
        inception_4d=Inception(512, 112, (144, 288), (32, 64), 64),
        inception_4e=Inception(528, 256, (160, 320), (32, 128), 128),
        pool4=_pool(),
        inception_5a=Inception(832, 256, (160, 320), (32, 128), 128),
        inception_5b=Inception(832, 384, (192, 384), (48, 128), 128),
        pool5=nn.AvgPool2d(7, stride=1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(1024, classes),
        prob=nn.Softmax(dim=1),
    )
    return nn.Sequential(layers)


def _conv(channels: int, width: int, kernel: int, *, stride: int = 1, padding: int = 0) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel, stride=stride, padding=padding)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _norm() -> nn.LocalResponseNorm:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
