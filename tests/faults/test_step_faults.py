"""Networks that keep state and are damaged: each fault in a loop of steps is the outcome `wrong`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import GRAPH, read_graph, write_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.networks.layer import Layer, Network, Op
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch
from tests.builders import asked_steps, job_of, stored

WIDTH, TOKENS, PLACES, STEPS = 16, 40, 24, 8


class Decoder(nn.Module):
    """A decoder that keeps its keys, the number of tokens and a summary of them in buffers."""

    keys: torch.Tensor
    summary: torch.Tensor
    place: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(TOKENS, WIDTH), nn.Linear(WIDTH, TOKENS)
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("keys", torch.zeros(1, PLACES, WIDTH))
        self.register_buffer("summary", torch.rand(1, 1, WIDTH))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        """Return the numbers of the next token."""
        x = self.table(token) + self.summary
        self.keys.index_copy_(1, self.place, self.key(x))
        scores = self.query(x) @ self.keys.transpose(1, 2)
        seen = torch.arange(PLACES) <= self.place
        self.place += 1
        self.summary = torch.tanh(x + scores.masked_fill(~seen, -torch.inf).softmax(-1) @ self.keys)
        return torch.as_tensor(self.head(self.summary))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stored decoder."""
    torch.manual_seed(3)
    sample = Inputs((torch.tensor([[3]]),), steps=STEPS, feeds=(Feed(0, rule="argmax"),))
    return stored(tmp_path_factory.mktemp("decoder"), Decoder().eval(), sample)


def _with_layers(network: Network, change: Callable[[Layer], Layer]) -> Network:
    return replace(network, layers=tuple(map(change, network.layers)))


def _swapped_layers(network: Network) -> Network:
    """Give the layers of the queries and the keys the weights of each other."""
    specs = {spec.name: spec for layer in network.layers for spec in layer.weights}
    others = {"query.weight": specs["key.weight"], "key.weight": specs["query.weight"]}
    places = {name: {"offset": other.offset} for name, other in others.items()}
    return _with_layers(
        network,
        lambda layer: replace(layer, weights=tuple(replace(w, **places.get(w.name, {})) for w in layer.weights)),
    )


def _wrong_place(network: Network) -> Network:
    """Move the place in the cache on by two in each step."""

    def moved(op: Op) -> Op:
        return replace(op, args=[op.args[0], 2]) if op.args[:2] == [{"value": "b_place"}, 1] else op

    return _with_layers(network, lambda layer: replace(layer, ops=tuple(map(moved, layer.ops))))


def _stale_state(network: Network) -> Network:
    """Begin each step with the first summary."""
    position = network.inputs.index("b_summary")
    return replace(network, feeds=tuple(feed for feed in network.feeds if feed.input != position))


@pytest.mark.parametrize("fault", [_swapped_layers, _wrong_place, _stale_state])
def test_fault_in_a_loop_is_wrong(decoder: Path, tmp_path: Path, fault: Callable[[Network], Network]) -> None:
    """A swapped layer, a wrong place in the cache and a stale state are each noticed by the tokens or the last step."""
    whole, network = read_graph(decoder), fault(read_graph(decoder))
    assert network != whole
    folder = shutil.copytree(decoder, tmp_path / "damaged")
    (folder / GRAPH).unlink()
    write_graph(folder, network)
    asked = asked_steps(folder, STEPS)
    run = launch(
        job_of(POLICIES["stream"](asked, Budget()), asked, folder), Enclosure(CAPS["none"], "", Limits(), 60.0)
    )
    assert (run.outcome, "differs from plain PyTorch" in run.detail) == ("wrong", True)
