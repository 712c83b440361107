"""A small decoder whose first step has a prompt of many tokens."""

from __future__ import annotations

import torch
from torch import nn

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.inputs import Inputs

WIDTH, TOKENS, PLACES, PROMPT, STEPS = 32, 50, 24, 5, 7
FEEDS = (Feed(0, rule="argmax", last=True), Feed(1, rule="next", last=True))


class Decoder(nn.Module):
    """A decoder of one layer with its keys in a buffer, for any number of tokens at once."""

    keys: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(TOKENS, WIDTH), nn.Linear(WIDTH, TOKENS)
        self.query, self.key, self.wide = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("keys", torch.zeros(1, PLACES, WIDTH), persistent=False)

    def forward(self, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the numbers of the token after each of `tokens`, which are at `places`."""
        x = self.table(tokens)
        self.keys.index_copy_(1, places, self.key(x))
        scores = self.query(x) @ self.keys.transpose(1, 2)
        scores = scores.masked_fill(torch.arange(PLACES) > places[:, None], -torch.inf)
        numbers: torch.Tensor = self.head(torch.tanh(self.wide(x + scores.softmax(-1) @ self.keys)))
        return numbers


def sample(seed: int = 0) -> Inputs:
    """Return a prompt, drawn with this seed, and its places."""
    tokens = torch.randint(0, TOKENS, (1, PROMPT), generator=torch.Generator().manual_seed(seed))
    return Inputs((tokens, torch.arange(PROMPT)), steps=STEPS, feeds=FEEDS)


def decoder() -> tuple[nn.Module, list[Inputs]]:
    """Return the decoder and two samples."""
    torch.manual_seed(3)
    return Decoder().eval(), [sample(), sample(1)]
