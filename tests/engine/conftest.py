"""Stored networks that several tests of the engine execute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.builders import stored


class Branching(nn.Module):
    """A network with residual additions before and after two branches, so that some values outlive several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.left, self.right = nn.Conv2d(4, 5, 3, stride=2), nn.Conv2d(4, 7, 3, stride=2)
        self.narrow, self.last = nn.Linear(108, 16), nn.Linear(16, 16)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute 16 values from an image of 10x10 pixels."""
        x = self.first(image).relu()
        x = x + self.inner(x)
        x = self.narrow(torch.cat([self.left(x), self.right(x)], 1).flatten(1))
        return x + self.last(x).relu()  # type: ignore[no-any-return]  # as all operators of tensors


def _images() -> list[tuple[torch.Tensor, ...]]:
    return [(torch.rand(1, 3, 10, 10),) for _ in range(2)]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network with layers of different sizes and two samples."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 9), nn.Linear(9, 20)
    )
    return stored(tmp_path_factory.mktemp("small"), module, *_images())


@pytest.fixture(scope="session")
def branching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network of convolutions and linear layers in which some values outlive several layers."""
    torch.manual_seed(0)
    return stored(tmp_path_factory.mktemp("branching"), Branching(), *_images())
