"""A small network with the layers of the 2020 study, which every peer must be able to run."""

from __future__ import annotations

import torch
from torch import nn


class Branching(nn.Module):
    """A network with parallel convolutions, different types of layers, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.1, inplace=True))
        self.norm, self.pool = nn.LocalResponseNorm(5), nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.left, self.right = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 6, 3, padding=1)
        self.last = nn.Sequential(nn.Flatten(), nn.Linear(10 * 15 * 15, 16), nn.Softmax(dim=1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute 16 values and the feature map before them from an image of 32x32 pixels."""
        x = self.pool(self.norm(self.first(image)))
        x = torch.cat([self.left(x), self.right(x)], 1).relu()
        return self.last(x), x


def branching() -> tuple[nn.Module, list[tuple[torch.Tensor, ...]]]:
    """Return the network and two samples."""
    torch.manual_seed(0)
    return Branching().eval(), [(torch.rand(1, 3, 32, 32),) for _ in range(2)]
