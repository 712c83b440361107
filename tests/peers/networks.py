"""Small networks that every peer must be able to run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from pytest_edgeload import Feed, Inputs


class Branching(nn.Module):
    """The layers of the 2020 study: parallel convolutions, different types of layers, and two outputs."""

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


class Tied(nn.Module):
    """A tied weight, a buffer that no checkpoint contains, and keyword inputs, like a model of transformers."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.words = nn.Embedding(1000, 256, device=device)
        self.last, self.head = nn.Linear(256, 256, device=device), nn.Linear(256, 1000, bias=False, device=device)
        self.head.weight = self.words.weight
        self.register_buffer("places", torch.arange(8.0).reshape(8, 1), persistent=False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute 1000 values for each of 8 words."""
        found = self.last(self.words(ids) * mask[..., None] + self.places)
        return {"scores": self.head(found), "found": found}


def tied() -> tuple[nn.Module, list[Inputs]]:
    """Return the network without weights, which are in the checkpoint of `save_shards`, and two samples of 3 steps."""
    ids, feeds = torch.arange(8).reshape(1, 8), (Feed("ids", output=0, rule="argmax"),)
    masks = torch.ones(1, 8), torch.zeros(1, 8)
    return Tied("meta").eval(), [Inputs((), {"ids": ids, "mask": mask}, steps=3, feeds=feeds) for mask in masks]


class Cached(nn.Module):
    """A decoder whose keys of earlier tokens are an input and an output of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(100, 64), nn.Linear(64, 100)
        self.query, self.key = nn.Linear(64, 64), nn.Linear(64, 64)
        self.register_buffer("places", torch.arange(8).reshape(1, 8, 1), persistent=False)

    def forward(
        self, token: torch.Tensor, keys: torch.Tensor, place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores of the next token, and the keys with that of this one at its place."""
        found = self.words(token)
        keys = torch.where(self.get_buffer("places") == place, self.key(found), keys)
        return self.head(found + torch.softmax(self.query(found) @ keys.transpose(1, 2), -1) @ keys), keys


def cached() -> tuple[nn.Module, list[Inputs]]:
    """Return the network and two samples of 4 steps."""
    torch.manual_seed(0)
    feeds = Feed(0, rule="argmax"), Feed(1, output=1), Feed(2, rule="next")
    firsts = ((torch.tensor([[token]]), torch.zeros(1, 8, 64), torch.tensor([0])) for token in (7, 8))
    return Cached().eval(), [Inputs(first, steps=4, feeds=feeds) for first in firsts]


def save_shards(folder: Path) -> Path:
    """Write the checkpoint of `tied` into two files of a new folder, and return the folder."""
    torch.manual_seed(0)
    folder.mkdir()
    places = dict[str, str]()
    for file, (name, module) in zip(("1.safetensors", "2.safetensors"), Tied("cpu").named_children(), strict=False):
        tensors = {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}
        save_file(tensors, folder / file)
        places |= dict.fromkeys(tensors, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder
