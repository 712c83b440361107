"""Networks that several tests of the runtime ask."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.inputs import Inputs
from tests.builders import stored

TOKENS, PLACES, STEPS = 32, 8, 5


class Decoder(nn.Module):
    """A decoder that takes and returns the keys of the tokens that it has seen."""

    def __init__(self, width: int = 16, depth: int = 0) -> None:
        super().__init__()
        self.table, self.key, self.head = nn.Embedding(TOKENS, width), nn.Linear(width, width), nn.Linear(width, TOKENS)
        self.body = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))

    def forward(
        self, token: torch.Tensor, *, keys: torch.Tensor, place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the numbers of the next token, and the keys with the one at `place`."""
        x = self.body(self.table(token))
        seen = keys.index_copy(1, place, self.key(x))
        return self.head(torch.tanh(x @ seen.transpose(1, 2) @ seen)), seen


def first_inputs(token: int, width: int = 16) -> Inputs:
    """Return the inputs of the first step."""
    feeds = (Feed(0, 0, "argmax"), Feed("keys", 1), Feed("place", rule="next"))
    keywords = {"keys": torch.zeros(1, PLACES, width), "place": torch.tensor([0])}
    return Inputs((torch.tensor([[token]]),), keywords, STEPS, feeds)


class StoredModules(NamedTuple):
    """The folders of stored networks by name, and their modules."""

    folders: dict[str, Path]
    modules: dict[str, nn.Module]


@pytest.fixture(scope="session")
def asked_networks(tmp_path_factory: pytest.TempPathFactory) -> StoredModules:
    """Return an image network, a larger one without images, a decoder, and a network that its steps repeat."""
    torch.manual_seed(0)
    modules = {
        "image": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 9)).eval(),
        "wide": nn.Sequential(*(nn.Linear(512, 512) for _ in range(3))).eval(),
        "decoder": Decoder().eval(),
        "loop": nn.Linear(64, 64).eval(),
    }
    loop = Inputs((torch.rand(1, 64),), steps=2, feeds=(Feed(0),))
    samples = {
        "image": (torch.rand(1, 3, 10, 10),),
        "wide": (torch.rand(1, 512),),
        "decoder": first_inputs(3),
        "loop": loop,
    }
    folders = {name: stored(tmp_path_factory.mktemp(name), modules[name], samples[name]) for name in modules}
    return StoredModules(folders, modules)
